//! The guard as operators meet it: real processes, a real PostgreSQL, real signals.

mod clients_come_and_go;
mod deadline_passes;
mod guard_dies;
mod postmaster_dies;
mod site;
mod starts_and_stops;
mod watchdog;
