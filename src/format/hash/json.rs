//! JSON strings as RFC 8785 writes them.
//!
//! Most bytes of a Merkle leaf are strings, and writing them is most of the work of computing a leaf. So eight bytes are
//! examined at a time, as one integer.

/// Number of bytes that are examined together.
const STRIDE: usize = 8;
/// A one in each byte.
const ONES: u64 = u64::from_ne_bytes([1; STRIDE]);
/// The high bit of each byte.
const HIGH: u64 = ONES << 7;

/// Appends `text` to `into` as a JSON string with the shortest escapes.
pub(crate) fn write_text(text: &str, into: &mut Vec<u8>) {
    into.reserve(text.len() + text.len() / STRIDE + 2);
    into.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((stride, behind)) = rest.split_first_chunk::<STRIDE>() {
        match special(*stride) {
            Special {
                quoted: 0,
                control: 0,
            } => into.extend_from_slice(stride),
            Special { control: 0, .. } => quote(stride, into),
            Special { quoted, control } => {
                // Copied as a whole, then cut: a copy of constant length is one instruction.
                let plain = (quoted | control).trailing_zeros() as usize / STRIDE;
                into.extend_from_slice(stride);
                into.truncate(into.len() - (STRIDE - plain));
                escape(stride[plain], into);
                rest = &rest[plain + 1..];
                continue;
            }
        }
        rest = behind;
    }
    for &byte in rest {
        if is_plain(byte) {
            into.push(byte)
        } else {
            escape(byte, into)
        }
    }
    into.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// The high bit of each byte of a stride that needs an escape. Exact up to the first such byte of each sort, since
/// borrows only propagate upwards.
struct Special {
    /// Quotes and backslashes.
    quoted: u64,
    /// Control characters.
    control: u64,
}

/// Finds the bytes of a stride that need an escape, by subtraction in all bytes at once.
fn special(stride: [u8; STRIDE]) -> Special {
    let word = u64::from_le_bytes(stride);
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    Special {
        quoted: equal(b'"') | equal(b'\\'),
        control: below(word, b' '),
    }
}

/// Appends a stride without control characters. JSON within JSON is full of quotes, at which the processor would
/// mispredict branches.
fn quote(stride: &[u8; STRIDE], into: &mut Vec<u8>) {
    let (mut quoted, mut length) = ([0; 2 * STRIDE], 0);
    for &byte in stride {
        quoted[length] = b'\\';
        length += usize::from(byte == b'"' || byte == b'\\');
        quoted[length] = byte;
        length += 1;
    }
    into.extend_from_slice(&quoted);
    into.truncate(into.len() - (2 * STRIDE - length));
}

/// Appends one byte in its shortest escape.
fn escape(byte: u8, into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            into.extend_from_slice(b"\\u00");
            into.push(DIGITS[usize::from(byte >> 4)]);
            into.push(DIGITS[usize::from(byte & 15)]);
            return;
        }
    };
    into.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_text(text, &mut bytes);
        bytes
    }

    #[test]
    fn every_character_below_128_at_every_place_of_a_stride() {
        for code in 0..128_u8 {
            for before in 0..=2 * STRIDE {
                let text = format!(
                    "{}{}{}",
                    "x".repeat(before),
                    char::from(code),
                    "y".repeat(STRIDE)
                );
                assert_eq!(
                    written(&text),
                    serde_json::to_vec(&text).unwrap(),
                    "{text:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn as_the_json_library_writes_it(text in "(?s)([ -~]|[\\x00-\\x1f\"\\\\]|.){0,80}") {
            prop_assert_eq!(written(&text), serde_json::to_vec(&text).unwrap());
        }
    }
}
