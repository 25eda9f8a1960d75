//! The `allowed_signers` file of `ssh-keygen(1)`: whose signatures count.

use crate::format::signature::{KEY_TYPE, KeyError, PublicKey};

/// Key types that OpenSSH knows and this program does not use; their lines are counted and passed over.
pub(super) const OTHER_KEY_TYPES: [&str; 7] = [
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The keys that may sign, each for some namespaces or for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedSigners {
    signers: Vec<Signer>,
    ignored: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    key: PublicKey,
    /// A pattern list of `ssh_config(5)`; `None` allows every namespace.
    namespaces: Option<String>,
}

impl AllowedSigners {
    /// Reads a whole file: `principals [options] key-type base64 [comment]` a line.
    ///
    /// Lines with keys of other types, and certificate authorities, are passed over and counted.
    ///
    /// # Errors
    /// Names the line. `valid-after` and `valid-before` are refused: passing over them would accept a
    /// signature that `ssh-keygen -Y verify` rejects.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut all = AllowedSigners::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_matches([' ', '\t', '\r']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match signer(line) {
                Ok(Some(signer)) => all.signers.push(signer),
                Ok(None) => all.ignored += 1,
                Err(what) => return Err(KeyError::AllowedSigners { line: number, what }),
            }
        }
        Ok(all)
    }

    /// Also lets `key` sign archives: a writer trusts its own key.
    pub fn allow(&mut self, key: PublicKey) {
        self.signers.push(Signer {
            key,
            namespaces: Some(format!(
                "{},{}",
                crate::format::signature::MANIFEST,
                crate::format::signature::PART
            )),
        });
    }

    pub fn contains(&self, key: &PublicKey, namespace: &str) -> bool {
        let allows = |list: &str| in_pattern_list(namespace, list);
        self.signers
            .iter()
            .any(|one| one.key == *key && one.namespaces.as_deref().is_none_or(allows))
    }

    /// How many lines hold a key of a type that is not used here.
    pub fn ignored(&self) -> usize {
        self.ignored
    }

    pub fn is_empty(&self) -> bool {
        self.signers.is_empty()
    }
}

fn signer(line: &str) -> Result<Option<Signer>, String> {
    let (_principals, rest) = word(line)?;
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
    Ok(Some(Signer {
        key,
        namespaces: options.namespaces,
    }))
}

/// The first word of `line`, and what follows it; blanks inside double quotes do not end a word.
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
                        "`{name}` is not supported: take it out, or take out the line of a key that no longer counts"
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

fn unquote(value: &str) -> Result<&str, String> {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let plain = inner.filter(|inner| !inner.is_empty() && !inner.contains('"'));
    plain.ok_or_else(|| "namespaces needs a value in double quotes".into())
}

/// Pattern lists of `ssh_config(5)`: a matching `!pattern` excludes, whatever else matches.
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

/// `*` and `?` patterns. Goes back to the last star only, so that no pattern takes exponential time.
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
