//! Hooks with real processes, a real HTTP server, real network namespaces.

mod commands;
mod examples;
mod network;
mod restarts;
mod server;
mod vip;
mod webhooks;
mod world;
