//! What the C library's allocator is told by a node, which lives for months.
//!
//! glibc gives large blocks back to the system as soon as they are freed, until one has been: from then on
//! it takes blocks of up to that size, 32 MB at most, for small ones, and keeps them, in an arena for each
//! thread (mallopt(3), `M_MMAP_THRESHOLD`). A node that ships WAL frees a segment of 16 MB every now and
//! then, on whichever thread: that came to some hundred megabytes that nobody used.

/// Blocks from here on are given back, bytes. Nothing on the way of a query is as large.
#[cfg(target_env = "gnu")]
const GIVEN_BACK_BYTES: nix::libc::c_int = 4 << 20;

/// Before threads are started.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe form")]
pub fn give_back_large_blocks() {
    // SAFETY: it sets a number, and no other thread allocates yet. Where it is refused nothing changes.
    unsafe { nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, GIVEN_BACK_BYTES) };
}

/// Other allocators have no such habit.
#[cfg(not(target_env = "gnu"))]
pub fn give_back_large_blocks() {}
