//! Server-sent events of a response, as they arrive.

use std::ops::Range;
use std::time::Instant;

use reqwest::Response;

/// The events of a response, and when each came.
#[derive(Debug)]
pub(crate) struct Events {
    response: Response,
    buffer: Buffer,
    /// When the newest bytes came: those of the event that [`Events::next`] gave last.
    pub(crate) arrived: Instant,
}

impl Events {
    pub(crate) fn new(response: Response) -> Self {
        Self { response, buffer: Buffer::default(), arrived: Instant::now() }
    }

    /// The data of the next event; none at the response's end.
    pub(crate) async fn next(&mut self) -> Result<Option<&[u8]>, reqwest::Error> {
        loop {
            if let Some(found) = self.buffer.next() {
                return Ok(Some(&self.buffer.bytes[found]));
            }
            let Some(bytes) = self.response.chunk().await? else { return Ok(None) };
            self.arrived = Instant::now();
            self.buffer.push(&bytes);
        }
    }
}

/// Bytes whose last line may not be whole.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where the next line begins.
    next: usize,
}

impl Buffer {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.next);
        self.next = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Where the next event's data are. Both servers write an event's data as one line.
    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let begin = self.next;
            let length = self.bytes[begin..].iter().position(|byte| *byte == b'\n')?;
            self.next = begin + length + 1;
            let line = self.bytes[begin..begin + length].trim_ascii_end();
            if let Some(data) = line.strip_prefix(b"data:") {
                let data = data.trim_ascii_start().len();
                let end = begin + line.len();
                return Some(end - data..end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_their_bytes_are_cut() {
        let sent = b"data: {\"a\": 1}\n\n: a comment\n\ndata:{}\r\n\r\nevent: x\ndata: [DONE]\n\n";
        for size in 1..sent.len() {
            let (mut buffer, mut found) = (Buffer::default(), Vec::new());
            for part in sent.chunks(size) {
                buffer.push(part);
                while let Some(event) = buffer.next() {
                    found.push(buffer.bytes[event].to_vec());
                }
            }
            assert_eq!(found, [&b"{\"a\": 1}"[..], b"{}", b"[DONE]"], "in parts of {size}");
        }
    }
}
