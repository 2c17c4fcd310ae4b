# Sourced. rustup puts cargo where a shell that was open before does not look yet; it goes
# first, because a distribution's own Rust is often too old.
cargo_bin=${CARGO_HOME:-$HOME/.cargo}/bin
case :$PATH: in
    *":$cargo_bin:"*) ;;
    *) [ ! -d "$cargo_bin" ] || PATH=$cargo_bin:$PATH ;;
esac
export PATH
