//! What is decided, as sentences: a situation, and what the user sees and the actor is told.

mod attempt;
mod consent;
mod refresh;
mod request;
mod situation;
mod task;
mod verdict;
