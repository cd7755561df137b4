//! Decisions, as sentences: a situation, then what the user sees and what the actor is told.

mod attempt;
mod consent;
mod ended;
mod lifespan;
mod probe;
mod refresh;
mod request;
mod situation;
mod task;
mod terms;
mod verdict;
