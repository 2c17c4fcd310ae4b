//! PostgreSQL's frontend/backend protocol: bytes to values and back, without I/O.
