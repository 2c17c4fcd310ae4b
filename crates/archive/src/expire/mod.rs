//! What is given up: by rules that say which backups stay, and by what those and the recovery window
//! need.

pub mod keep;
pub mod reach;
pub mod run;
