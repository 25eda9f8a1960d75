//! Lists of public keys: the keys whose signatures count in an archive.

use serde::{Deserialize, Serialize};

use crate::format::signature::PublicKey;

/// Public keys, each once, in the byte order of their lines (`ssh-ed25519 AAAA…`, without a comment).
///
/// A list has one spelling only, so that `archive.json` and records that hold it have one spelling too.
///
/// # Examples
///
/// ```
/// use cxvault::format::record::key_list::KeyList;
/// use cxvault::format::signature::SigningKey;
///
/// let key = SigningKey::generate()?.public_key();
/// let list = KeyList::of([key, key]);
/// assert!(list.contains(&key) && list.len() == 1);
/// # Ok::<(), cxvault::format::signature::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct KeyList(Vec<PublicKey>);

/// A list of texts is not a list of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a list of signers has ssh-ed25519 keys without comments, sorted, each once")]
pub struct NotAKeyList;

impl KeyList {
    /// Returns the list of some keys.
    pub fn of(keys: impl IntoIterator<Item = PublicKey>) -> KeyList {
        let mut keys: Vec<PublicKey> = keys.into_iter().collect();
        keys.sort_by_key(PublicKey::to_openssh_line);
        keys.dedup();
        KeyList(keys)
    }

    /// Returns whether a key is in the list.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.0.contains(key)
    }

    /// Returns whether the list has no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the keys in their order.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter()
    }
}

impl TryFrom<Vec<String>> for KeyList {
    type Error = NotAKeyList;

    fn try_from(lines: Vec<String>) -> Result<KeyList, NotAKeyList> {
        if !lines.is_sorted_by(|line, next| line < next) {
            return Err(NotAKeyList);
        }
        let key = |line: String| {
            let key = line.parse::<PublicKey>().ok();
            key.filter(|key| key.to_openssh_line() == line)
        };
        let keys: Option<Vec<PublicKey>> = lines.into_iter().map(key).collect();
        keys.map(KeyList).ok_or(NotAKeyList)
    }
}

impl From<KeyList> for Vec<String> {
    fn from(list: KeyList) -> Vec<String> {
        list.iter().map(PublicKey::to_openssh_line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::signature::SigningKey;

    #[test]
    fn a_list_has_one_spelling() {
        let keys = [(); 3].map(|()| SigningKey::generate().unwrap().public_key());
        let list = KeyList::of(keys);
        let lines = Vec::<String>::from(list.clone());
        assert!(lines.is_sorted() && lines.len() == 3);
        assert_eq!(KeyList::try_from(lines.clone()), Ok(list));
        assert_eq!(KeyList::try_from(Vec::new()), Ok(KeyList::default()));
        let mut reversed = lines.clone();
        reversed.reverse();
        let twice = vec![lines[0].clone(), lines[0].clone()];
        let comment = vec![format!("{} a comment", lines[0])];
        let other = vec!["ssh-rsa AAAA".to_owned()];
        for refused in [reversed, twice, comment, other] {
            assert_eq!(
                KeyList::try_from(refused.clone()),
                Err(NotAKeyList),
                "{refused:?}"
            );
        }
    }
}
