//! The high-availability decision core: view in, commands and a numbered reason out.
