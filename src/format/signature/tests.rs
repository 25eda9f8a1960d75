use proptest::prelude::*;

use crate::format::signature::*;

fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

#[test]
fn a_signature_tells_who_made_it() {
    let key = key();
    let armored = key.sign(MANIFEST, b"message");
    assert_eq!(verify(&armored, MANIFEST, b"message"), Ok(key.public_key()));
    assert_eq!(key.sign(MANIFEST, b"message"), armored, "not deterministic");
    assert!(armored.lines().all(|line| line.len() <= 70), "{armored}");
}

#[test]
fn another_message_or_namespace_is_refused() {
    let armored = key().sign(MANIFEST, b"message");
    assert_eq!(
        verify(&armored, MANIFEST, b"massage"),
        Err(SignatureError::Mismatch)
    );
    let error = verify(&armored, PART, b"message").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the signature was made for namespace `cxvault-manifest`, not for `cxvault-part`"
    );
}

#[test]
fn every_flipped_bit_of_a_signature_is_noticed() {
    let key = key();
    let armored = key.sign(MANIFEST, b"message");
    let blob = wire::dearmor(LABEL, &armored).unwrap();
    for bit in 0..blob.len() * 8 {
        let mut flipped = blob.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let result = verify(&wire::armor(LABEL, &flipped), MANIFEST, b"message");
        assert!(result.is_err(), "bit {bit}: {result:?}");
    }
}

#[test]
fn nothing_can_be_put_around_or_inside_the_armor() {
    let armored = key().sign(MANIFEST, b"m");
    assert!(
        verify(&armored.replace('\n', "\r\n"), MANIFEST, b"m").is_ok(),
        "mail makes CR LF of LF"
    );
    let bad = [
        format!("x{armored}"),
        format!("{armored}x"),
        armored.replacen('\n', "\n ", 2),
        armored.replacen("-----\n", "-----", 1),
        armored.replace("SSH SIGNATURE", "SSH SIGNATURES"),
        format!("{armored}{armored}"),
        String::new(),
    ];
    for text in bad {
        assert!(
            matches!(
                verify(&text, MANIFEST, b"m"),
                Err(SignatureError::Malformed(_))
            ),
            "{text}"
        );
    }
}

#[test]
fn key_files_round_trip() {
    let key = key();
    for comment in ["", "a", "nightly archive", "12345678", "ü"] {
        let again = SigningKey::from_openssh_pem(&key.to_openssh_pem(comment).unwrap()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        assert_eq!(again.sign(PART, b"x"), key.sign(PART, b"x"));
    }
}

#[test]
fn every_damaged_byte_of_a_key_file_is_noticed_or_harmless() {
    let key = key();
    let pem = key.to_openssh_pem("c").unwrap();
    let blob = wire::dearmor("OPENSSH PRIVATE KEY", &pem).unwrap();
    for at in 0..blob.len() {
        let mut damaged = blob.to_vec();
        damaged[at] ^= 0x55;
        // Only the comment may change without notice; a key that signs with another identity never loads.
        if let Ok(loaded) =
            SigningKey::from_openssh_pem(&wire::armor("OPENSSH PRIVATE KEY", &damaged))
        {
            assert_eq!(loaded.public_key(), key.public_key(), "byte {at}");
        }
    }
}

#[test]
fn debug_shows_the_fingerprint_and_nothing_else() {
    let key = key();
    assert_eq!(
        format!("{key:?}"),
        format!("SigningKey({:?})", key.public_key().fingerprint())
    );
}

#[test]
fn public_keys_are_read_from_their_line() {
    let key = key().public_key();
    assert_eq!(key.to_openssh_line().parse(), Ok(key));
    assert_eq!(format!("{key} someone@host").parse(), Ok(key));
    let error = "ssh-rsa AAAAB3NzaC1yc2E".parse::<PublicKey>().unwrap_err();
    assert_eq!(error, KeyError::OtherType("ssh-rsa".into()));
    for text in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !",
        "ssh-ed25519 AAAA",
        "hello world",
    ] {
        assert!(
            matches!(text.parse::<PublicKey>(), Err(KeyError::NotAPublicKey(_))),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_private_key_says_what_to_do() {
    let says = |text: &str| SigningKey::from_openssh_pem(text).unwrap_err().to_string();
    assert!(says("").contains("cxvault keygen"));
    assert!(
        says("-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----")
            .contains("cxvault keygen")
    );
    assert!(says("-----BEGIN ENCRYPTED PRIVATE KEY-----\n").contains("ssh-keygen -p"));
    assert!(says(&key().public_key().to_openssh_line()).contains("without .pub"));
    assert!(says("-----BEGIN OPENSSH PRIVATE KEY-----\n").contains("damaged"));
}

#[test]
fn allowed_signers_decide_by_key_and_namespace() {
    let [a, b, c, d] = std::array::from_fn(|_| key().public_key());
    let text = format!(
        "# our keys\r\n\n{}\nops@example.com,cx* {b} a comment\n\
         \"with blank,cxvault\" namespaces=\"cxvault-*,!cxvault-part\" {c}\n\
         cxvault ssh-rsa AAAAB3NzaC1yc2E\ncxvault cert-authority {d}\n\
         person@example.com {d}\n*,!cxvault {d}\nCXVAULT {d}\n",
        a.allowed_signers_line("cxvault")
    );
    let allowed = AllowedSigners::parse(&text).unwrap();
    assert_eq!(allowed.ignored(), 5);
    let rights =
        [a, b, c, d].map(|key| [MANIFEST, PART, "git"].map(|name| allowed.contains(&key, name)));
    let expected = [
        [true, true, false],
        [true, true, true],
        [true, false, false],
        [false, false, false],
    ];
    assert_eq!(rights, expected);
}

#[test]
fn a_list_in_which_no_key_counts_is_no_list_of_all_keys() {
    let key = key().public_key();
    let other = key.allowed_signers_line("person@example.com");
    for text in [
        "",
        "# nothing",
        other.as_str(),
        "cxvault ssh-rsa AAAAB3NzaC1yc2E",
    ] {
        let refused = AllowedSigners::parse(text).unwrap_err();
        assert!(matches!(refused, KeyError::NoSigner(_)), "{text}");
        assert!(refused.to_string().contains("`cxvault`"), "{refused}");
    }
    let allowed = AllowedSigners::parse_for(&other, "person@example.com").unwrap();
    assert!(allowed.contains(&key, MANIFEST));
}

#[test]
fn a_writer_can_trust_its_own_key() {
    let own = key().public_key();
    let mut allowed = AllowedSigners::default();
    assert!(allowed.is_empty());
    allowed.allow(own);
    assert!(
        allowed.contains(&own, MANIFEST)
            && allowed.contains(&own, PART)
            && !allowed.contains(&own, "git")
    );
}

#[test]
fn a_bad_allowed_signers_line_is_named() {
    let good = key().public_key().allowed_signers_line("cxvault");
    let cases = [
        ("x", "ends too early"),
        ("x ssh-ed25519", "ends too early"),
        ("x ssh-ed25519 AAAA", "damaged"),
        ("x ssh-ed2519 AAAA", "neither an option nor a key type"),
        ("\"x ssh-ed25519 AAAA", "quote"),
        ("x namespaces=git ssh-ed25519 AAAA", "double quotes"),
        (
            "x valid-before=\"20300101\" ssh-ed25519 AAAA",
            "not supported",
        ),
    ];
    for (line, expected) in cases {
        let error = AllowedSigners::parse(&format!("{good}\n{line}\n"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && error.contains(expected),
            "{line}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in ".{0,200}") {
        let _ = verify(&text, MANIFEST, b"m");
        let _ = SigningKey::from_openssh_pem(&text);
        let _ = AllowedSigners::parse(&text);
        let _ = text.parse::<PublicKey>();
        let _ = AllowedSigners::parse(&format!("x {text}"));
    }

    #[test]
    fn no_bytes_inside_an_armor_make_the_parsers_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), keep in 0usize..60,
    ) {
        let key = key();
        let genuine = wire::dearmor(LABEL, &key.sign(MANIFEST, b"m")).unwrap();
        let blob = [&genuine[..keep], &bytes].concat();
        prop_assert!(verify(&wire::armor(LABEL, &blob), MANIFEST, b"m").is_err());
        let pem = wire::dearmor("OPENSSH PRIVATE KEY", &key.to_openssh_pem("c").unwrap()).unwrap();
        let blob = [&pem[..keep], &bytes].concat();
        prop_assert!(SigningKey::from_openssh_pem(&wire::armor("OPENSSH PRIVATE KEY", &blob)).is_err());
    }

    #[test]
    fn patterns_match_as_a_simple_definition_says(text in "[ab]{0,6}", pattern in "[ab*?]{0,6}") {
        fn simple(text: &[u8], pattern: &[u8]) -> bool {
            match (pattern, text) {
                ([], _) => text.is_empty(),
                ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| simple(&text[n..], rest)),
                ([p, ps @ ..], [t, ts @ ..]) => (*p == b'?' || p == t) && simple(ts, ps),
                _ => false,
            }
        }
        let line = format!("x namespaces=\"{pattern},-\" {}", PublicKey([7; 32]).to_openssh_line());
        let allowed = AllowedSigners::parse_for(&line, "x").unwrap();
        prop_assert_eq!(
            allowed.contains(&PublicKey([7; 32]), &text),
            simple(text.as_bytes(), pattern.as_bytes()),
        );
    }
}
