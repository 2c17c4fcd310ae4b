//! The Debian package: built of this very binary, unpacked into a tree of its own, run there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::rig::{BINARY, Site, text};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[track_caller]
fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    assert!(status.success(), "{command:?}: {status}\n{}", text(&stderr));
    text(&stdout)
}

#[test]
fn the_package_holds_a_binary_that_runs() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        eprintln!("dpkg-deb is not installed: no package was built");
        return;
    }
    let site = Site::new();
    let built =
        done(Command::new(root().join("scripts/package.sh")).arg(BINARY).arg(site.path("")));
    let package = built.trim();
    let version = env!("CARGO_PKG_VERSION");
    assert!(package.contains(&format!("/howdah_{version}_")), "{package}");

    let control = done(Command::new("dpkg-deb").args(["-f", package]));
    for line in ["Package: howdah", "Recommends: postgresql (>= 15), etcd-server"] {
        assert!(control.lines().any(|there| there == line), "{line}\n{control}");
    }
    let depends = control.lines().find_map(|line| line.strip_prefix("Depends: "));
    let depends: Vec<&str> = depends.expect("Depends").split(", ").collect();
    assert!(
        depends.iter().all(|on| on.starts_with("libc6 (>= 2.") || *on == "libgcc-s1"),
        "the C library and its own only: {depends:?}"
    );
    let listed = done(Command::new("dpkg-deb").args(["-c", package]));
    for path in ["./usr/bin/howdah", "./usr/share/man/man1/howdah.1.gz", "./var/lib/howdah/"] {
        assert!(listed.lines().any(|line| line.ends_with(path)), "{path}\n{listed}");
    }
    assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");

    let tree = site.path("tree");
    done(Command::new("dpkg-deb").arg("-x").arg(package).arg(&tree));
    let said = done(Command::new(tree.join("usr/bin/howdah")).arg("--version"));
    assert_eq!(said.trim(), format!("howdah {version}"));
    let page = tree.join("usr/share/man/man1/howdah.1.gz");
    let page = done(Command::new("gzip").arg("-dc").arg(page));
    assert!(page.contains("switchover") && page.contains("join"), "{page}");
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("only root can let dpkg install: the package was unpacked only");
        return;
    }
    install(package, &site.path("installed"));
}

/// By dpkg itself, with its scripts, into a tree that has a database of packages and no more.
fn install(package: &str, tree: &Path) {
    let admin = tree.join("var/lib/dpkg");
    fs::create_dir_all(admin.join("info")).expect("a folder");
    fs::create_dir_all(admin.join("updates")).expect("a folder");
    for file in ["status", "available"] {
        fs::write(admin.join(file), "").expect("a database");
    }
    let root = format!("--root={}", tree.display());
    // The tree has no C library that dpkg knows of, and no shell to chroot to.
    let forced = ["--force-depends", "--force-script-chrootless"];
    done(Command::new("dpkg").arg(&root).args(forced).args(["-i", package]));
    let status = fs::read_to_string(admin.join("status")).expect("a database");
    assert!(status.contains("Package: howdah\nStatus: install ok installed"), "{status}");
    done(Command::new(tree.join("usr/bin/howdah")).arg("--version"));
    done(Command::new("dpkg").arg(&root).args(forced).args(["-r", "howdah"]));
    assert!(!tree.join("usr/bin/howdah").exists());
}
