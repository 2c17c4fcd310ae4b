//! A cluster of several machines, as far as one machine can show it: two base directories with a
//! node each, the units and packages that carry them, and the compose file that nobody here runs.

mod certificates;
mod compose;
mod joining;
mod machines;
mod package;
mod refusals;
mod rig;
mod three;
mod units;
