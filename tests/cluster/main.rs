//! What only a real API server can show.

mod publishing;
mod writing;
