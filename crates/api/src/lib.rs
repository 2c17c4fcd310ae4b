//! HTTP: the status page, health checks, and the operator's requests.
