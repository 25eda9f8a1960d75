//! Ed25519 signatures in OpenSSH's formats, so that an auditor needs only `ssh-keygen -Y verify`.
//!
//! ```text
//! mod        keys, signing, verifying           key_file   private key files
//! allowed    the file of allowed signers        wire       the SSH wire encoding and its armor
//! ```
//!
//! Sources: OpenSSH's `PROTOCOL.sshsig` (signatures), `PROTOCOL.key` (private key files), RFC 8709 (key and
//! signature blobs), and `ssh-keygen(1)`, section ALLOWED SIGNERS.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest as _, Sha256, Sha512};

mod allowed;
mod key_file;
mod wire;

pub use allowed::{AllowedSigners, IDENTITY};
use wire::{WireReader, WireWriter};

/// SSHSIG namespace of manifests: a signature for one purpose never passes for another.
pub const MANIFEST: &str = "cxvault-manifest";
/// SSHSIG namespace of the statement in a Parquet part's footer.
pub const PART: &str = "cxvault-part";

/// The only type of key that is used.
const KEY_TYPE: &str = "ssh-ed25519";
/// First bytes of a signature's blob.
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
const HASH: &str = "sha512";
const LABEL: &str = "SSH SIGNATURE";

/// Why a text is not a key that this program can use, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not a private key file of OpenSSH.
    #[error("not an OpenSSH private key; make one with `cxvault keygen FILE`")]
    NotAPrivateKey,
    /// The text is a public key.
    #[error("this is a public key; name the private key's file, the one without .pub")]
    Public,
    /// The private key has a passphrase.
    #[error(
        "the private key is encrypted, and a nightly run cannot enter its passphrase; \
         remove it with `ssh-keygen -p -N '' -f FILE`, or make another key with `cxvault keygen FILE`"
    )]
    Encrypted,
    /// The key is of another type, which is named.
    #[error(
        "the key is of type {0}, and only ssh-ed25519 is used; make one with `cxvault keygen FILE`"
    )]
    OtherType(String),
    /// The file is damaged: the reason.
    #[error(
        "the key is damaged ({0}); restore it from a copy, or make another with `cxvault keygen FILE`"
    )]
    Damaged(&'static str),
    /// The text is not a public key: the reason.
    #[error("not an ssh-ed25519 public key ({0}); expected `ssh-ed25519 AAAA...`")]
    NotAPublicKey(&'static str),
    /// A line of a file of allowed signers cannot be used.
    #[error("allowed signers, line {line}: {what}")]
    AllowedSigners {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A file of allowed signers has no key that counts.
    #[error(
        "no line allows an Ed25519 key to sign as `{0}`: write that name in the first column of the key's line, or set CXVAULT_SIGNER_IDENTITY"
    )]
    NoSigner(String),
    /// The cryptographic library returned an error.
    #[error("the cryptographic library refuses to make a key; check the system's random source")]
    Generate,
}

/// Why a text is not a signature over this message by the key that it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The text is not a signature of OpenSSH: the reason.
    #[error("not an SSH signature ({0})")]
    Malformed(&'static str),
    /// The signature is of another type, which is named.
    #[error("the signature is of type {0}, and only ssh-ed25519 is used")]
    OtherType(String),
    /// The signature was made for another purpose.
    #[error("the signature was made for namespace `{found}`, not for `{expected}`")]
    Namespace {
        /// The namespace in the signature.
        found: String,
        /// The namespace that is required.
        expected: String,
    },
    /// The message, the key or the signature was changed.
    #[error("the signature does not match what it claims to sign")]
    Mismatch,
}

/// An Ed25519 private key. Its seed is never displayed, and is wiped when dropped (aws-lc cleanses what it frees).
///
/// # Examples
///
/// ```
/// use cxvault::format::signature::{MANIFEST, PART, SigningKey, verify};
///
/// let key = SigningKey::generate()?;
/// let signature = key.sign(MANIFEST, b"a message");
/// assert_eq!(verify(&signature, MANIFEST, b"a message"), Ok(key.public_key()));
/// assert!(verify(&signature, PART, b"a message").is_err());
/// # Ok::<(), cxvault::format::signature::KeyError>(())
/// ```
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Returns a new random key.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn generate() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate()
            .map(SigningKey)
            .map_err(|_| KeyError::Generate)
    }

    /// Reads an unencrypted `openssh-key-v1` file with one Ed25519 key.
    ///
    /// # Errors
    /// [`KeyError`] with the reason and a remedy.
    pub fn from_openssh_pem(text: &str) -> Result<Self, KeyError> {
        key_file::parse(text)
    }

    /// Returns the key as `ssh-keygen` stores it without a passphrase. The text is secret, and is wiped when dropped.
    ///
    /// Any comment can be read back; one without line breaks is displayed well by other programs.
    ///
    /// # Errors
    /// [`KeyError::Generate`].
    pub fn to_openssh_pem(&self, comment: &str) -> Result<Zeroizing<String>, KeyError> {
        key_file::write(self, comment)
    }

    /// Returns the public key.
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Returns an armored SSHSIG signature over `message`, 70 columns wide, ending in a newline.
    ///
    /// Ed25519 is deterministic (RFC 8032): the same key, namespace and message give the same bytes.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> String {
        let signature = self
            .0
            .sign(&signed_data(namespace, HASH, &Sha512::digest(message)));
        let mut signature_blob = WireWriter::default();
        signature_blob
            .string(KEY_TYPE.as_bytes())
            .string(signature.as_ref());
        let mut blob = WireWriter::default();
        blob.raw(MAGIC)
            .u32(VERSION)
            .string(&self.public_key().blob())
            .string(namespace.as_bytes())
            .string(b"")
            .string(HASH.as_bytes())
            .string(&signature_blob.finish());
        wire::armor(LABEL, &blob.finish()).to_string()
    }

    fn from_seed(seed: &[u8], public_key: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public_key);
        pair.map(SigningKey)
            .map_err(|_| KeyError::Damaged("its two halves do not belong together"))
    }

    fn seed(&self) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let seed = self.0.seed().map_err(|_| KeyError::Generate)?;
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(seed.as_be_bytes().map_err(|_| KeyError::Generate)?.as_ref());
        Ok(bytes)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("SigningKey")
            .field(&self.public_key().fingerprint())
            .finish()
    }
}

/// Returns the data that an SSHSIG signature covers: the namespace and the hash, never the bare message.
fn signed_data(namespace: &str, hash: &str, digest: &[u8]) -> Vec<u8> {
    let mut data = WireWriter::default();
    data.raw(MAGIC)
        .string(namespace.as_bytes())
        .string(b"")
        .string(hash.as_bytes())
        .string(digest);
    data.finish().to_vec()
}

/// Checks an armored SSHSIG signature and returns the key that made it.
///
/// Whether that key may sign is a separate question: [`AllowedSigners::contains`].
///
/// # Errors
/// [`SignatureError`].
pub fn verify(armored: &str, namespace: &str, message: &[u8]) -> Result<PublicKey, SignatureError> {
    use SignatureError::Malformed;
    let blob = wire::dearmor(LABEL, armored).map_err(Malformed)?;
    let mut blob = WireReader(&blob);
    if blob.raw(MAGIC.len()).map_err(Malformed)? != MAGIC {
        return Err(Malformed("no SSHSIG magic"));
    }
    if blob.u32().map_err(Malformed)? != VERSION {
        return Err(Malformed("not version 1"));
    }
    let key = blob.string().map_err(Malformed)?;
    let found = blob.text().map_err(Malformed)?;
    // The signature does not cover the reserved field, which could otherwise hold any content.
    if !blob.string().map_err(Malformed)?.is_empty() {
        return Err(Malformed("its reserved field is not empty"));
    }
    let hash = blob.text().map_err(Malformed)?;
    let signature = blob.string().map_err(Malformed)?;
    blob.end().map_err(Malformed)?;

    let key = ed25519_blob(key, 32, "the public key is not 32 bytes")?;
    let signature = ed25519_blob(signature, 64, "the signature is not 64 bytes")?;
    if found != namespace {
        return Err(SignatureError::Namespace {
            found: found.into(),
            expected: namespace.into(),
        });
    }
    let digest = match hash {
        "sha512" => Sha512::digest(message).to_vec(),
        "sha256" => Sha256::digest(message).to_vec(),
        _ => return Err(Malformed("its hash is neither sha512 nor sha256")),
    };
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&signed_data(namespace, hash, &digest), signature)
        .map_err(|_| SignatureError::Mismatch)?;
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key);
    Ok(PublicKey(bytes))
}

/// Returns the content of `string "ssh-ed25519", string CONTENT`: the form of both keys and signatures.
fn ed25519_blob<'a>(
    blob: &'a [u8],
    length: usize,
    what: &'static str,
) -> Result<&'a [u8], SignatureError> {
    let mut blob = WireReader(blob);
    let kind = blob.text().map_err(SignatureError::Malformed)?;
    if kind != KEY_TYPE {
        return Err(SignatureError::OtherType(quoted(kind)));
    }
    let content = blob.string().map_err(SignatureError::Malformed)?;
    blob.end().map_err(SignatureError::Malformed)?;
    if content.len() == length {
        Ok(content)
    } else {
        Err(SignatureError::Malformed(what))
    }
}

/// Returns the beginning of a foreign name, as an error message may quote it.
fn quoted(text: &str) -> String {
    crate::format::text::printable_start(text, 40)
}

/// An Ed25519 public key, displayed as in a `.pub` file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Returns `ssh-ed25519 AAAA...`, as in a `.pub` file, without a comment.
    pub fn to_openssh_line(&self) -> String {
        format!("{KEY_TYPE} {}", STANDARD.encode(self.blob()))
    }

    /// Returns `SHA256:...`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        format!(
            "SHA256:{}",
            STANDARD_NO_PAD.encode(Sha256::digest(self.blob()))
        )
    }

    /// Returns the line of an `allowed_signers` file that lets this key sign archives and nothing else.
    pub fn allowed_signers_line(&self, principal: &str) -> String {
        format!(
            "{principal} namespaces=\"{MANIFEST},{PART}\" {}",
            self.to_openssh_line()
        )
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = WireWriter::default();
        blob.string(KEY_TYPE.as_bytes()).string(&self.0);
        blob.finish().to_vec()
    }

    fn from_base64(text: &str) -> Result<Self, KeyError> {
        let blob = STANDARD
            .decode(text)
            .map_err(|_| KeyError::NotAPublicKey("its base64 is wrong"))?;
        Self::from_blob(&blob).map_err(|error| match error {
            SignatureError::OtherType(kind) => KeyError::OtherType(kind),
            _ => KeyError::NotAPublicKey("its content is damaged"),
        })
    }

    fn from_blob(blob: &[u8]) -> Result<Self, SignatureError> {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(ed25519_blob(blob, 32, "the public key is not 32 bytes")?);
        Ok(PublicKey(bytes))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Reads `ssh-ed25519 AAAA... [comment]`.
    fn from_str(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some(KEY_TYPE), Some(base64)) => Self::from_base64(base64),
            (Some(kind), Some(_)) if allowed::OTHER_KEY_TYPES.contains(&kind) => {
                Err(KeyError::OtherType(kind.into()))
            }
            _ => Err(KeyError::NotAPublicKey("its type or its base64 is missing")),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_openssh_line())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.fingerprint())
    }
}

#[cfg(test)]
mod tests;
