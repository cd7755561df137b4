//! Random names, tokens and ports.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::TcpListener,
    sync::{Mutex, PoisonError},
};

use ring::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

/// `bytes` random bytes as lower-case hexadecimal digits.
pub fn hex(bytes: usize) -> Result<String, Error> {
    let mut buffer = vec![0; bytes];
    SystemRandom::new().fill(&mut buffer).map_err(|_| Error::Random)?;
    Ok(buffer.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// A port of 127.0.0.1 on which nobody listens, and which this process has not returned before.
///
/// It is below Linux's range for outgoing connections (32768 and up), so that no outgoing connection takes it while the API
/// server is stopped for an outage test.
pub fn free_port() -> Result<u16, Error> {
    // The caller that got an earlier one may not have opened it yet.
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..100 {
        let mut bytes = [0; 2];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
        let port = 20_000 + u16::from_be_bytes(bytes) % 10_000;
        let is_new = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        if is_new && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::NoFreePort)
}
