//! Linux's watchdog API (`Documentation/watchdog/watchdog-api.rst`, `linux/watchdog.h`): opened, the
//! device runs; each write feeds it; `V` before the close stops it, where the driver allows that.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::c_int;

/// A device that runs. Dropped without [`Device::stop`], it goes on and fires.
pub trait Device: Debug + Send {
    /// Seconds without food until it resets the machine, as the driver granted them.
    fn timeout_s(&self) -> u32;
    fn feed(&mut self) -> io::Result<()>;
    /// # Errors
    /// It goes on (`nowayout`) and has to be fed.
    fn stop(&mut self) -> io::Result<()>;
}

/// Starts a device: [`open`], or a test's own.
pub type OpenDevice = fn(&Path, u32) -> io::Result<Box<dyn Device>>;

#[derive(Debug)]
struct Linux {
    file: File,
    timeout_s: u32,
}

/// Opens and so starts the device, with a timeout of about `timeout_s` seconds.
///
/// # Errors
/// There is none, it may not be opened, another process has it, or it is no watchdog.
pub fn open(path: &Path, timeout_s: u32) -> io::Result<Box<dyn Device>> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mut device = Linux { file, timeout_s };
    match ioctls::set_timeout(&device.file, c_int::try_from(timeout_s).unwrap_or(c_int::MAX)) {
        Ok(granted) => device.timeout_s = u32::try_from(granted).unwrap_or(u32::MAX),
        // A driver whose time is fixed says what it is.
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) => match ioctls::timeout(&device.file) {
            Ok(fixed) => device.timeout_s = u32::try_from(fixed).unwrap_or(u32::MAX),
            Err(error) => return give_up(device, error),
        },
        Err(error) => return give_up(device, error),
    }
    Ok(Box::new(device))
}

fn give_up(mut device: Linux, error: Errno) -> io::Result<Box<dyn Device>> {
    // Not a byte is written to what is no watchdog.
    if error == Errno::ENOTTY {
        return Err(io::Error::other("it is no watchdog"));
    }
    device.stop().ok();
    Err(error.into())
}

impl Device for Linux {
    fn timeout_s(&self) -> u32 {
        self.timeout_s
    }

    fn feed(&mut self) -> io::Result<()> {
        self.file.write_all(b"\n")
    }

    fn stop(&mut self) -> io::Result<()> {
        match ioctls::disable(&self.file) {
            Err(Errno::EBUSY) => Err(Errno::EBUSY.into()),
            // Drivers without the call know the letter.
            Ok(_) | Err(_) => self.file.write_all(b"V"),
        }
    }
}

#[expect(unsafe_code, reason = "system calls on a descriptor that nix has no safe form for")]
mod ioctls {
    use super::{AsRawFd, Errno, File, c_int};

    nix::ioctl_read!(set_options, b'W', 4, c_int);
    nix::ioctl_readwrite!(exchange_timeout, b'W', 6, c_int);
    nix::ioctl_read!(get_timeout, b'W', 7, c_int);

    const DISABLE_CARD: c_int = 1;

    /// `WDIOC_SETTIMEOUT`: gives the time that the driver has made of it.
    pub fn set_timeout(file: &File, seconds: c_int) -> Result<c_int, Errno> {
        let mut value = seconds;
        // SAFETY: the descriptor is open, and the call reads and writes one int.
        unsafe { exchange_timeout(file.as_raw_fd(), &raw mut value) }.map(|_| value)
    }

    /// `WDIOC_GETTIMEOUT`.
    pub fn timeout(file: &File) -> Result<c_int, Errno> {
        let mut value = 0;
        // SAFETY: as above.
        unsafe { get_timeout(file.as_raw_fd(), &raw mut value) }.map(|_| value)
    }

    /// `WDIOC_SETOPTIONS` with `WDIOS_DISABLECARD`.
    pub fn disable(file: &File) -> Result<c_int, Errno> {
        let mut value = DISABLE_CARD;
        // SAFETY: as above; despite its number's direction the call only reads.
        unsafe { set_options(file.as_raw_fd(), &raw mut value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_watchdog_is_left_as_it_is() {
        let path = std::env::temp_dir().join(format!("howdah-no-watchdog-{}", std::process::id()));
        std::fs::write(&path, "mine").expect("a file");
        let error = open(&path, 4).expect_err("a file is no watchdog");
        assert_eq!(error.to_string(), "it is no watchdog");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "mine");
        std::fs::remove_file(&path).ok();
        assert_eq!(open(&path, 4).expect_err("nothing").kind(), io::ErrorKind::NotFound);
    }
}
