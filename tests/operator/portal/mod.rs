//! `bowline portal` as a process, with the rights it ships with, beside a running operator and the sandbox.
//!
//! Level 1 shows what each request must bring and what each answer carries. That the API server is asked, that its
//! policies take the portal's writes for the user's, and that portal and operator finish what the other began, shows only
//! here.

mod actions;
mod attacks;
mod browser;
mod canary;
mod facts;
mod forged;
mod hostile;
mod house;
mod menu;
mod pace;
mod proxy;
mod returning;
mod rights;
mod routes;
mod sign_in;
mod strangers;
mod walk;
