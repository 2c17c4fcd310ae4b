//! Conversations of one client with one server through the pooler, as text: what each says, and
//! what the other gets of it. Each is played at every split of the bytes.
//!
//! ```text
//! > P(a,one) B(,a) E() S      the client says
//! = P(#1,one) B(,#1) E() S    this goes to the server, with its own names by their number
//! < 1 2 C(SELECT 1) Z(I)      the server says
//! : 1 2 C(SELECT 1) Z(I)      this the client hears
//! ```

mod ahead;
mod copies;
mod malformed;
mod mended;
mod names;
mod splits;
mod stage;

use stage::{check, check_with_a};
