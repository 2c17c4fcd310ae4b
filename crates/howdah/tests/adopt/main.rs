//! `howdah adopt --patroni`: a real Patroni cluster with HAProxy in front of it is taken over
//! node by node while a client writes, and given back, half-way and afterwards.

mod files;
mod given_back;
mod given_back_half_way;
mod rig;
mod taken_over;
