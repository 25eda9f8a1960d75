//! Splits a JSON array of objects into the texts of its elements, while it arrives.
//!
//! An answer may have 100,000 objects: neither its text nor its parsed form is ever in memory, only the current
//! element. Element texts are returned byte for byte, since archives store them as evidence; a parser that builds
//! values would lose their order, numbers and blanks.

use serde::de::IgnoredAny;

/// Why the bytes cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SplitError {
    #[error("not a complete JSON array of objects")]
    NotAnArrayOfObjects,
    #[error("an element is larger than the limit")]
    TooLarge,
}

/// What has been read last, and what may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SplitState {
    /// Nothing yet: `[` must follow.
    Start,
    /// `[`: an element or `]` may follow.
    First,
    /// A comma: an element must follow.
    Next,
    /// A part of an element.
    Element,
    /// An element: a comma or `]` may follow.
    Behind,
    /// `]`: only blanks may follow.
    End,
}

/// Splits an array whose bytes arrive in pieces that begin and end anywhere, even inside a character.
pub(crate) struct Splitter {
    state: SplitState,
    /// Open brackets and braces of the current element.
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// The bytes of the current element in earlier pieces.
    element: Vec<u8>,
    max_element: usize,
    elements: u64,
}

impl Splitter {
    /// Creates a splitter that refuses elements larger than `max_element` bytes.
    pub fn new(max_element: usize) -> Self {
        Splitter {
            state: SplitState::Start,
            depth: 0,
            in_string: false,
            escaped: false,
            element: Vec::new(),
            max_element,
            elements: 0,
        }
    }

    /// Reads the next bytes, and calls `each` with the text of every element that they complete.
    ///
    /// # Errors
    /// [`SplitError`]; the splitter must not be used afterwards.
    pub fn push(&mut self, piece: &[u8], mut each: impl FnMut(String)) -> Result<(), SplitError> {
        let mut rest = piece;
        while !rest.is_empty() {
            if self.state != SplitState::Element {
                rest = self.between(rest)?;
                continue;
            }
            // Most elements lie in one piece: finding their end with the JSON parser checks them as well.
            let checked = match self.element.is_empty() {
                true => end_of_value(rest),
                false => None,
            };
            let end = checked.or_else(|| self.scan(rest));
            let (part, behind) = rest.split_at(end.unwrap_or(rest.len()));
            if self.element.len().saturating_add(part.len()) > self.max_element {
                return Err(SplitError::TooLarge);
            }
            self.element.extend_from_slice(part);
            if end.is_some() {
                each(self.complete(checked.is_some())?);
            }
            rest = behind;
        }
        Ok(())
    }

    /// Ends the array; returns the number of elements.
    ///
    /// # Errors
    /// [`SplitError::NotAnArrayOfObjects`] when the array is not complete.
    pub fn finish(self) -> Result<u64, SplitError> {
        match self.state {
            SplitState::End => Ok(self.elements),
            _ => Err(SplitError::NotAnArrayOfObjects),
        }
    }

    /// Reads a byte between elements, or nothing where an element begins; returns the remaining bytes.
    fn between<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], SplitError> {
        let Some((&byte, behind)) = rest.split_first() else {
            return Ok(rest);
        };
        self.state = match (self.state, byte) {
            (state, b' ' | b'\t' | b'\n' | b'\r') => state,
            (SplitState::Start, b'[') => SplitState::First,
            (SplitState::First | SplitState::Behind, b']') => SplitState::End,
            (SplitState::Behind, b',') => SplitState::Next,
            (SplitState::First | SplitState::Next, b'{') => {
                self.state = SplitState::Element;
                return Ok(rest);
            }
            _ => return Err(SplitError::NotAnArrayOfObjects),
        };
        Ok(behind)
    }

    /// Returns the offset at which the current element ends in `rest`, if it does.
    fn scan(&mut self, rest: &[u8]) -> Option<usize> {
        for (offset, &byte) in rest.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // Whether brackets match is checked when the element is complete.
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(offset + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Returns the text of the current element, which is complete. It is parsed unless it was `checked` already.
    fn complete(&mut self, checked: bool) -> Result<String, SplitError> {
        let bytes = std::mem::take(&mut self.element);
        let text = String::from_utf8(bytes).map_err(|_| SplitError::NotAnArrayOfObjects)?;
        if !checked {
            serde_json::from_str::<IgnoredAny>(&text)
                .map_err(|_| SplitError::NotAnArrayOfObjects)?;
        }
        self.state = SplitState::Behind;
        self.elements += 1;
        Ok(text)
    }
}

/// Returns the offset at which the JSON value at the start of `bytes` ends; `None` where it is incomplete or invalid.
fn end_of_value(bytes: &[u8]) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    fn split(bytes: &[u8], cuts: &[usize], max: usize) -> Result<Vec<String>, SplitError> {
        let mut splitter = Splitter::new(max);
        let mut elements = Vec::new();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for ends in cuts.windows(2) {
            splitter.push(&bytes[ends[0]..ends[1]], |element| elements.push(element))?;
        }
        assert_eq!(splitter.finish()?, elements.len() as u64);
        Ok(elements)
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[\\PC\"\\\\{}\\[\\],\n]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\\\]}é]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_elements_are_serde_jsons(
            members in prop::collection::vec(prop::collection::btree_map("\\PC{0,3}", json(), 0..4), 0..5),
            pretty in any::<bool>(),
            cuts in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            let array: Vec<Value> =
                members.into_iter().map(|map| Value::Object(map.into_iter().collect())).collect();
            let text = if pretty {
                serde_json::to_string_pretty(&array).unwrap()
            } else {
                serde_json::to_string(&array).unwrap()
            };
            let raw: Vec<&RawValue> = serde_json::from_str(&text).unwrap();
            let expected: Vec<_> = raw.iter().map(|raw| raw.get().to_owned()).collect();
            prop_assert_eq!(split(text.as_bytes(), &cuts, text.len()).unwrap(), expected);
        }

        /// A changed array is accepted exactly if serde_json accepts it as an array of objects.
        #[test]
        fn damage_is_noticed(
            at in any::<usize>(),
            byte in prop::sample::select(b"[]{},:\"\\ 0a\x80\n".to_vec()),
            cut in any::<usize>(),
            kind in 0..3,
        ) {
            let mut bytes = br#" [{"a":[1,{"b":"}]\""}],"c":null}, {}, {"d":"\\"}] "#.to_vec();
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
            let objects = |bytes: &[u8]| {
                let text = std::str::from_utf8(bytes).ok()?;
                let raw: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let texts: Vec<_> = raw.iter().map(|raw| raw.get().to_owned()).collect();
                texts.iter().all(|text| text.starts_with('{')).then_some(texts)
            };
            prop_assert_eq!(split(&bytes, &[cut], 1_000).ok(), objects(&bytes));
        }
    }

    #[test]
    fn only_a_complete_array_of_objects_is_taken() {
        let wrong: [&[u8]; 16] = [
            b"",
            b"  ",
            b"null",
            b"{}",
            b"\"x\"",
            b"[",
            b"[{}",
            b"[{},",
            b"[{},]",
            b"[,{}]",
            b"[{}{}]",
            b"[null]",
            b"[[{}]]",
            b"[{]}]",
            b"[{}] x",
            b"\xef\xbb\xbf[{}]",
        ];
        for bytes in wrong {
            assert_eq!(
                split(bytes, &[], 100),
                Err(SplitError::NotAnArrayOfObjects),
                "{bytes:?}"
            );
        }
        assert_eq!(split(b" [ ]\n", &[], 100).unwrap(), Vec::<String>::new());
        assert_eq!(
            split(b"[{\"a\" : 1e400}]", &[3], 100).unwrap(),
            ["{\"a\" : 1e400}"]
        );
    }

    #[test]
    fn an_element_is_refused_as_soon_as_it_is_too_large() {
        let mut splitter = Splitter::new(10);
        splitter.push(br#"[{"a":"1"},"#, |_| {}).unwrap();
        let error = splitter
            .push(br#"{"a":"12""#, |_| {})
            .and_then(|()| splitter.push(b"   ", |_| {}));
        assert_eq!(error, Err(SplitError::TooLarge));
    }
}
