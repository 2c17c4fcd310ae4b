//! HTTP: the status page, health checks, and the operator's requests.
//!
//! ```text
//! agent --watch--> ClusterStatus --> / /status /explain /history      (render)
//! agent --watch--> Health        --> /primary /replica /liveness ...  (health)
//! agent <--mpsc--- Request       <-- POST /switchover ...             (request)
//! Doorkeeper                     <-- POST /join                       (join)
//! ```
//!
//! A shell without opinions: what is healthy the agent has judged, what is allowed the agent
//! decides. It never touches the data disk or SQL, so a hung server cannot hang a health check;
//! and what the agent said too long ago counts for nothing, so a hung agent cannot look healthy.

mod answer;
mod asker;
mod audit;
mod auth;
mod changing;
pub mod client;
mod fields;
mod health;
pub mod join;
mod openapi;
mod page;
pub mod patroni;
mod ports;
pub mod preflight;
mod reading;
pub mod render;
mod request;
mod routes;
mod server;
mod tls;
pub mod when;

pub use asker::{Asker, CertName, OPERATOR};
pub use health::{Bounds, Check, Health, Question};
pub use howdah_base::ask::{Ask, Progress, Receipt, Refusal, RefusalClass};
pub use ports::{Access, Basic, Feeds, FileInForce, MoreMetrics};
pub use request::Request;
pub use server::{ApiConfig, ApiError, Server, serve};
