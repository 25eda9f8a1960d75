//! The `allowed_signers` file of `ssh-keygen(1)`: the keys whose signatures count.

use crate::format::signature::{KEY_TYPE, KeyError, MANIFEST, PART, PublicKey};
use crate::format::text::printable_start;

/// Types of keys that OpenSSH knows and this program does not use. Their lines are counted and skipped.
pub(super) const OTHER_KEY_TYPES: [&str; 7] = [
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The identity under which signatures count where no other is set: `ssh-keygen -Y verify -I cxvault`.
pub const IDENTITY: &str = "cxvault";

/// The keys that may sign, each for some namespaces or for all.
///
/// # Examples
///
/// ```
/// use cxvault::format::signature::{AllowedSigners, MANIFEST, SigningKey};
///
/// let key = SigningKey::generate()?.public_key();
/// let allowed = AllowedSigners::parse(&key.allowed_signers_line("cxvault"))?;
/// assert!(allowed.contains(&key, MANIFEST) && !allowed.contains(&key, "git"));
/// # Ok::<(), cxvault::format::signature::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedSigners {
    signers: Vec<Signer>,
    /// Number of lines that were skipped.
    ignored: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    key: PublicKey,
    /// A pattern list of `ssh_config(5)`; `None` allows every namespace.
    namespaces: Option<String>,
}

impl AllowedSigners {
    /// Reads the text of a file for the identity [`IDENTITY`]; see [`AllowedSigners::parse_for`].
    ///
    /// # Errors
    /// As [`AllowedSigners::parse_for`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Self::parse_for(text, IDENTITY)
    }

    /// Reads the text of a file, with `principals [options] key-type base64 [comment]` in each line.
    ///
    /// A key counts only where one of the line's principals is `identity`, as for `ssh-keygen -Y verify -I`: a file may
    /// list the keys of people who sign other things. Those lines, keys of other types and certificate authorities, whose
    /// certificates this program does not accept, are skipped and counted.
    ///
    /// # Errors
    /// [`KeyError::AllowedSigners`] with the line. The options `valid-after` and `valid-before` are refused: ignoring
    /// them would accept a signature that `ssh-keygen -Y verify` rejects. [`KeyError::NoSigner`] where no line counts: a
    /// list without keys would otherwise mean that every key is accepted.
    pub fn parse_for(text: &str, identity: &str) -> Result<Self, KeyError> {
        let mut all = AllowedSigners::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_matches([' ', '\t', '\r']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match signer(line, identity) {
                Ok(Some(signer)) => all.signers.push(signer),
                Ok(None) => all.ignored += 1,
                Err(what) => return Err(KeyError::AllowedSigners { line: number, what }),
            }
        }
        if all.is_empty() {
            return Err(KeyError::NoSigner(printable_start(identity, 80)));
        }
        Ok(all)
    }

    /// Adds a key that may sign archives: a writer trusts its own key.
    pub fn allow(&mut self, key: PublicKey) {
        self.signers.push(Signer {
            key,
            namespaces: Some(format!("{MANIFEST},{PART}")),
        });
    }

    /// Returns whether `key` may sign for the purpose `namespace`.
    pub fn contains(&self, key: &PublicKey, namespace: &str) -> bool {
        self.signers.iter().any(|signer| {
            let patterns = signer.namespaces.as_deref();
            signer.key == *key && patterns.is_none_or(|list| in_pattern_list(namespace, list))
        })
    }

    /// Returns whether a valid signature by `key` counts. Where no key is allowed, every key counts: the reader has named
    /// none, and the signature still shows that the bytes were not changed.
    pub fn accepts(&self, key: &PublicKey, namespace: &str) -> bool {
        self.is_empty() || self.contains(key, namespace)
    }

    /// Returns the number of lines that were skipped.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    /// Returns whether no key is allowed.
    pub fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }
}

/// Reads one line; `None` for a key of another principal or type, and for a certificate authority.
fn signer(line: &str, identity: &str) -> Result<Option<Signer>, String> {
    let (principals, rest) = word(line)?;
    let (mut first, mut rest) = word(rest)?;
    let mut options = SignerOptions::default();
    if first != KEY_TYPE && !OTHER_KEY_TYPES.contains(&first) {
        options = SignerOptions::parse(first)?;
        (first, rest) = word(rest)?;
    }
    if OTHER_KEY_TYPES.contains(&first) || options.cert_authority {
        return Ok(None);
    }
    if first != KEY_TYPE {
        return Err(
            "there is no key type where one belongs; expected `PRINCIPAL ssh-ed25519 AAAA...`"
                .into(),
        );
    }
    let key = PublicKey::from_base64(word(rest)?.0).map_err(|error| error.to_string())?;
    // OpenSSH allows quotes around all of the principals, which may contain blanks then.
    let principals = principals.trim_matches('"');
    let signer = Signer {
        key,
        namespaces: options.namespaces,
    };
    Ok(in_pattern_list(identity, principals).then_some(signer))
}

/// Returns the first word of `line` and the text after it. Blanks inside double quotes do not end a word.
fn word(line: &str) -> Result<(&str, &str), String> {
    let line = line.trim_start_matches([' ', '\t']);
    let mut quoted = false;
    let end = line.find(|c| {
        quoted ^= c == '"';
        !quoted && (c == ' ' || c == '\t')
    });
    match end.map_or((line, ""), |end| line.split_at(end)) {
        _ if end.is_none() && quoted => Err("a quote is not closed".into()),
        ("", _) => Err("it ends too early; expected `PRINCIPAL ssh-ed25519 AAAA...`".into()),
        parts => Ok(parts),
    }
}

/// The options of a line that this program knows.
#[derive(Default)]
struct SignerOptions {
    namespaces: Option<String>,
    cert_authority: bool,
}

impl SignerOptions {
    fn parse(text: &str) -> Result<Self, String> {
        let mut options = SignerOptions::default();
        let mut quoted = false;
        let unquoted_comma = |c| {
            quoted ^= c == '"';
            !quoted && c == ','
        };
        for option in text.split(unquoted_comma) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name.to_ascii_lowercase().as_str() {
                "cert-authority" => options.cert_authority = true,
                "namespaces" => options.namespaces = Some(unquote(value)?.into()),
                "valid-after" | "valid-before" => {
                    return Err(format!(
                        "`{name}` is not supported: remove it, or remove the line of a key that no longer counts"
                    ));
                }
                _ => {
                    return Err(format!(
                        "`{}` is neither an option nor a key type",
                        crate::format::signature::quoted(name)
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// Returns the text between double quotes.
fn unquote(value: &str) -> Result<&str, String> {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let plain = inner.filter(|inner| !inner.is_empty() && !inner.contains('"'));
    plain.ok_or_else(|| "namespaces needs a value in double quotes".into())
}

/// Returns whether a pattern list of `ssh_config(5)` contains a text: a matching `!pattern` excludes it, even if other
/// patterns match.
fn in_pattern_list(text: &str, list: &str) -> bool {
    let mut matched = false;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(text.as_bytes(), pattern.as_bytes()) => return false,
            Some(_) => {}
            None => matched |= matches(text.as_bytes(), pattern.as_bytes()),
        }
    }
    matched
}

/// Returns whether a pattern with `*` and `?` matches. It backtracks to the last star only, so that no pattern needs
/// exponential time.
fn matches(mut text: &[u8], mut pattern: &[u8]) -> bool {
    let mut last_star = None;
    loop {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => {
                last_star = Some((rest, text));
                pattern = rest;
            }
            ([p, pattern_rest @ ..], [t, text_rest @ ..]) if p == t || *p == b'?' => {
                (pattern, text) = (pattern_rest, text_rest);
            }
            ([], []) => return true,
            _ => match last_star {
                Some((after_star, [_, tail @ ..])) => {
                    last_star = Some((after_star, tail));
                    (pattern, text) = (after_star, tail);
                }
                _ => return false,
            },
        }
    }
}
