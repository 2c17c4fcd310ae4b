//! Inis as text, and what they come to.
