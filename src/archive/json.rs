//! Text as RFC 8785 writes it: what most bytes of a Merkle leaf are, and most of the work of making one.

/// Bytes looked at together.
const STRIDE: usize = 8;
const ONES: u64 = u64::from_ne_bytes([1; STRIDE]);
const HIGH: u64 = ONES << 7;

/// Appends `text` as a JSON string with the shortest escapes.
pub fn write_text(text: &str, into: &mut Vec<u8>) {
    into.reserve(text.len() + text.len() / STRIDE + 2);
    into.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((stride, _)) = rest.split_first_chunk::<STRIDE>() {
        let plain = plain_bytes(*stride);
        // Copied whole, and cut: a copy of known length is one instruction.
        into.extend_from_slice(stride);
        if plain == STRIDE {
            rest = &rest[STRIDE..];
        } else {
            into.truncate(into.len() - (STRIDE - plain));
            escape(stride[plain], into);
            rest = &rest[plain + 1..];
        }
    }
    for &byte in rest {
        if is_plain(byte) { into.push(byte) } else { escape(byte, into) }
    }
    into.push(b'"');
}

fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// How many bytes of `stride` stand before the first one that needs an escape.
fn plain_bytes(stride: [u8; STRIDE]) -> usize {
    let word = u64::from_le_bytes(stride);
    // The high bit of each byte below `limit`; exact up to the first such byte, as borrows only go upwards.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let special = below(word, b' ') | equal(b'"') | equal(b'\\');
    special.trailing_zeros() as usize / STRIDE
}

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
                let text = format!("{}{}{}", "x".repeat(before), char::from(code), "y".repeat(STRIDE));
                assert_eq!(written(&text), serde_json::to_vec(&text).unwrap(), "{text:?}");
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
