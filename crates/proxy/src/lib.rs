//! Endpoints: listen, authenticate the address, route by term, relay.
