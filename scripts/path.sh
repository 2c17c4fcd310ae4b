# Sourced. rustup puts cargo where a shell that was open before does not look yet; it goes
# first, because a distribution's own Rust is often too old.
cargo_bin=${CARGO_HOME:-$HOME/.cargo}/bin
case :$PATH: in
    *":$cargo_bin:"*) ;;
    *) [ ! -d "$cargo_bin" ] || PATH=$cargo_bin:$PATH ;;
esac
# runuser, haproxy and ip are where a user's shell does not look.
for sbin in /usr/sbin /sbin; do
    case :$PATH: in
        *":$sbin:"*) ;;
        *) PATH=$PATH:$sbin ;;
    esac
done
export PATH
