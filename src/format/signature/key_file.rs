//! Private key files in OpenSSH's format `openssh-key-v1`, without encryption (OpenSSH's `PROTOCOL.key`).

use secrecy::zeroize::Zeroizing;
use sha2::{Digest as _, Sha256};

use crate::format::signature::wire::{WireReader, WireWriter, armor, dearmor};
use crate::format::signature::{KEY_TYPE, KeyError, SigningKey, quoted};

const LABEL: &str = "OPENSSH PRIVATE KEY";
/// First bytes of the file's blob.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The private section is padded to a multiple of this many bytes where it is not encrypted.
const BLOCK: usize = 8;

/// Reads a file.
pub fn parse(text: &str) -> Result<SigningKey, KeyError> {
    let text = text.trim_ascii();
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
        return Err(KeyError::Public);
    }
    if text.contains("ENCRYPTED") {
        return Err(KeyError::Encrypted); // PEM and PKCS #8 say so in their headers
    }
    if !text.starts_with(&format!("-----BEGIN {LABEL}-----")) {
        return Err(KeyError::NotAPrivateKey);
    }
    let blob = dearmor(LABEL, text).map_err(KeyError::Damaged)?;
    let mut blob = WireReader(&blob);
    if blob.raw(MAGIC.len()).map_err(KeyError::Damaged)? != MAGIC {
        return Err(KeyError::Damaged("no openssh-key-v1 magic"));
    }
    let cipher = blob.string().map_err(KeyError::Damaged)?;
    let kdf = blob.string().map_err(KeyError::Damaged)?;
    if cipher != b"none" || kdf != b"none" {
        return Err(KeyError::Encrypted);
    }
    let kdf_options = blob.string().map_err(KeyError::Damaged)?;
    if !kdf_options.is_empty() || blob.u32().map_err(KeyError::Damaged)? != 1 {
        return Err(KeyError::Damaged("it does not hold exactly one key"));
    }
    let public_blob = blob.string().map_err(KeyError::Damaged)?;
    let private = blob.string().map_err(KeyError::Damaged)?;
    blob.end().map_err(KeyError::Damaged)?;
    let key = private_section(private)?;
    if key.public_key().blob() != public_blob {
        return Err(KeyError::Damaged("its two halves do not belong together"));
    }
    Ok(key)
}

/// Reads the part of the file that is encrypted in files with a passphrase.
fn private_section(section: &[u8]) -> Result<SigningKey, KeyError> {
    let mut section = WireReader(section);
    if section.u32().map_err(KeyError::Damaged)? != section.u32().map_err(KeyError::Damaged)? {
        return Err(KeyError::Damaged("its check numbers differ"));
    }
    let kind = section.text().map_err(KeyError::Damaged)?;
    if kind != KEY_TYPE {
        return Err(KeyError::OtherType(quoted(kind)));
    }
    let public = section.string().map_err(KeyError::Damaged)?;
    let private = section.string().map_err(KeyError::Damaged)?;
    section.string().map_err(KeyError::Damaged)?; // the comment
    let padding = section.0;
    if padding.len() >= BLOCK || !padding.iter().copied().eq((1..).take(padding.len())) {
        return Err(KeyError::Damaged("its padding is wrong"));
    }
    match private.split_at_checked(32) {
        Some((seed, again)) if again == public && public.len() == 32 => {
            SigningKey::from_seed(seed, public)
        }
        _ => Err(KeyError::Damaged("its two halves do not belong together")),
    }
}

/// Returns the text of a file.
pub fn write(key: &SigningKey, comment: &str) -> Result<Zeroizing<String>, KeyError> {
    let public = key.public_key();
    let mut pair = Zeroizing::new([0; 64]);
    pair[..32].copy_from_slice(&*key.seed()?);
    pair[32..].copy_from_slice(&public.0);
    // Two equal numbers show that a passphrase is right. Without a passphrase any number is valid.
    let check = WireReader(&Sha256::digest(public.0))
        .u32()
        .map_err(KeyError::Damaged)?;
    let mut section = WireWriter::default();
    section
        .u32(check)
        .u32(check)
        .string(KEY_TYPE.as_bytes())
        .string(&public.0)
        .string(&*pair);
    section.string(comment.as_bytes());
    for byte in 1.. {
        if section.len() % BLOCK == 0 {
            break;
        }
        section.raw(&[byte]);
    }
    let mut blob = WireWriter::default();
    blob.raw(MAGIC)
        .string(b"none")
        .string(b"none")
        .string(b"")
        .u32(1);
    blob.string(&public.blob()).string(&section.finish());
    Ok(armor(LABEL, &blob.finish()))
}
