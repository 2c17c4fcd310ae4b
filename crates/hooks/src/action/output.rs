//! What a command says: the last of it, bounded, made fit for a line of the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

/// So much of a command's output is kept: its end, where errors stand.
pub const OUTPUT_BYTES_MAX: usize = 4096;

/// The end of what was said, by both of a command's voices.
#[derive(Clone, Debug, Default)]
pub struct Output {
    last: Arc<Mutex<Tail>>,
}

#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Output {
    /// Reads to the end. Without a bound on what is read: a command must not stop at a full
    /// pipe because nobody listens.
    pub async fn collect(self, mut voice: impl AsyncRead + Unpin) {
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = voice.read(&mut bytes).await {
            self.take(&bytes[..count]);
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut tail = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        tail.bytes.extend(bytes);
        let beyond = tail.bytes.len().saturating_sub(OUTPUT_BYTES_MAX);
        tail.bytes.drain(..beyond);
        tail.cut |= beyond > 0;
    }

    /// On one line: control characters would let a hook write lines of its own into the log.
    pub fn on_one_line(&self) -> String {
        let mut tail = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let cut = if tail.cut { "... " } else { "" };
        let text = String::from_utf8_lossy(tail.bytes.make_contiguous()).into_owned();
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        let joined = lines.collect::<Vec<_>>().join(" | ");
        let plain = joined.chars().map(|c| if c.is_control() { ' ' } else { c });
        cut.chars().chain(plain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_is_kept_on_one_line() {
        let output = Output::default();
        output.clone().collect(&b"first\n\n\x1b[31msecond\r\n"[..]).await;
        assert_eq!(output.on_one_line(), "first |  [31msecond");
        let output = Output::default();
        output.clone().collect(format!("{}end", "x".repeat(OUTPUT_BYTES_MAX)).as_bytes()).await;
        let line = output.on_one_line();
        assert!(line.starts_with("... xxx") && line.ends_with("xend"), "{line}");
        assert_eq!(line.len(), OUTPUT_BYTES_MAX + "... ".len());
    }
}
