# Sourced. rustup puts cargo where a shell that was open before does not look yet.
if [ -d "${CARGO_HOME:-$HOME/.cargo}/bin" ]; then
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    export PATH
fi
