//! The SSH wire encoding (RFC 4251, section 5), and OpenSSH's armor around it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;

/// Builds an SSH blob. The buffer is wiped when dropped, since private keys pass through it.
#[derive(Default)]
pub(crate) struct WireWriter(Zeroizing<Vec<u8>>);

impl WireWriter {
    /// Appends bytes without a length.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends an integer, most significant byte first.
    pub fn u32(&mut self, number: u32) -> &mut Self {
        self.raw(&number.to_be_bytes())
    }

    /// Appends a string with its length before it. All strings are keys, names and hashes, far below 4 GiB.
    pub fn string(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
            .raw(bytes)
    }

    /// Returns the number of bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the blob.
    pub fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Reads an SSH blob. No content of a blob causes a panic or a read beyond its end; errors are clauses about the blob.
pub(crate) struct WireReader<'a>(pub &'a [u8]);

impl<'a> WireReader<'a> {
    /// Reads `length` bytes.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads an integer, most significant byte first.
    pub fn u32(&mut self) -> Result<u32, &'static str> {
        let bytes = self.raw(4)?;
        Ok(bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    /// Reads a string with its length before it.
    pub fn string(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.u32()?;
        self.raw(usize::try_from(length).map_err(|_| "it is cut short")?)
    }

    /// Reads a string that is UTF-8.
    pub fn text(&mut self) -> Result<&'a str, &'static str> {
        std::str::from_utf8(self.string()?).map_err(|_| "a name in it is not UTF-8")
    }

    /// Checks that nothing follows.
    pub fn end(&self) -> Result<(), &'static str> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("something follows its end")
        }
    }
}

/// Characters of base64 in each line, as OpenSSH writes them.
const COLUMNS: usize = 70;

/// Returns a blob between its begin and end lines.
pub fn armor(label: &str, blob: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(blob));
    // Allocated at its full size: growing would leave copies of a private key in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(
        base64.len() + base64.len() / COLUMNS + 2 * label.len() + 64,
    ));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(COLUMNS));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Returns the blob inside an armor: the begin line first, the end line last, and nothing but base64 between them. Lines
/// may be of any length and end in CR LF.
pub(crate) fn dearmor(label: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let inner = text
        .trim_ascii()
        .strip_prefix(&format!("-----BEGIN {label}-----"))
        .ok_or("its begin line is missing")?
        .strip_suffix(&format!("-----END {label}-----"))
        .ok_or("its end line is missing")?;
    if !inner.starts_with(['\n', '\r']) || !inner.ends_with('\n') {
        return Err("its begin and end are not lines of their own");
    }
    let mut base64 = Zeroizing::new(String::with_capacity(inner.len()));
    inner.lines().for_each(|line| base64.push_str(line));
    STANDARD
        .decode(base64.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| "its base64 is wrong")
}
