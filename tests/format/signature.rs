//! Signatures and key files of cxvault and of OpenSSH: each program accepts the other's.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cxvault::format::signature;
use cxvault::format::signature::{AllowedSigners, MANIFEST, PART, PublicKey, SigningKey};
use tempfile::TempDir;

fn ssh_keygen(args: &[&str], stdin: &[u8]) -> Output {
    let child = Command::new("ssh-keygen")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("these tests need ssh-keygen: install the package openssh-client");
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs `ssh-keygen`, which must succeed, and returns what it prints.
fn ssh_keygen_ok(args: &[&str], stdin: &[u8]) -> String {
    let output = ssh_keygen(args, stdin);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn secret_file(folder: &TempDir, name: &str, content: &str) -> PathBuf {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.path().join(name);
    let mut options = fs::OpenOptions::new();
    // ssh-keygen refuses private keys that other users could read.
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    file.write_all(content.as_bytes()).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn ssh_keygen_reads_our_key_files() {
    let folder = TempDir::new().unwrap();
    for (n, comment) in [
        "",
        "cxvault",
        "a rather long comment, so that the padding differs",
    ]
    .iter()
    .enumerate()
    {
        let key = SigningKey::generate().unwrap();
        let file = secret_file(
            &folder,
            &n.to_string(),
            &key.to_openssh_pem(comment).unwrap(),
        );
        let line = ssh_keygen_ok(&["-y", "-f", text(&file)], b"");
        let expected = format!("{} {comment}", key.public_key().to_openssh_line());
        assert_eq!(line.trim_end(), expected.trim_end());
        let listed = ssh_keygen_ok(&["-l", "-f", text(&file)], b"");
        assert!(listed.contains(&key.public_key().fingerprint()), "{listed}");
    }
}

#[test]
fn we_read_ssh_keygens_key_files() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("theirs");
    ssh_keygen_ok(
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "their comment",
            "-f",
            text(&file),
        ],
        b"",
    );
    let key = SigningKey::from_openssh_pem(&fs::read_to_string(&file).unwrap()).unwrap();
    let line = fs::read_to_string(file.with_extension("pub")).unwrap();
    assert_eq!(line.parse::<PublicKey>(), Ok(key.public_key()));
}

#[test]
fn encrypted_and_other_keys_say_what_to_do() {
    let folder = TempDir::new().unwrap();
    let cases = [
        ("ed25519", "secret", "ssh-keygen -p"),
        ("ecdsa", "", "cxvault keygen"),
    ];
    for (kind, passphrase, remedy) in cases {
        let file = folder.path().join(kind);
        ssh_keygen_ok(
            &["-q", "-t", kind, "-N", passphrase, "-f", text(&file)],
            b"",
        );
        let error = SigningKey::from_openssh_pem(&fs::read_to_string(&file).unwrap()).unwrap_err();
        assert!(error.to_string().contains(remedy), "{kind}: {error}");
    }
}

#[test]
fn ssh_keygen_verifies_our_signatures() {
    let folder = TempDir::new().unwrap();
    let key = SigningKey::generate().unwrap();
    let allowed = secret_file(
        &folder,
        "allowed",
        &key.public_key().allowed_signers_line("cxvault"),
    );
    for (n, namespace) in [MANIFEST, PART].into_iter().enumerate() {
        let message = b"{\"kind\":\"day\"}";
        let armored = secret_file(&folder, &format!("sig{n}"), &key.sign(namespace, message));
        let args = [
            "-Y",
            "verify",
            "-f",
            text(&allowed),
            "-I",
            "cxvault",
            "-n",
            namespace,
            "-s",
            text(&armored),
        ];
        ssh_keygen_ok(&args, message);
        let forged = ssh_keygen(&args, b"{\"kind\":\"dax\"}");
        assert!(!forged.status.success(), "{forged:?}");
    }
}

#[test]
fn we_verify_ssh_keygens_signatures() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("key");
    ssh_keygen_ok(&["-q", "-t", "ed25519", "-N", "", "-f", text(&file)], b"");
    let key: PublicKey = fs::read_to_string(file.with_extension("pub"))
        .unwrap()
        .parse()
        .unwrap();
    for hash in ["hashalg=sha512", "hashalg=sha256"] {
        let armored = ssh_keygen_ok(
            &["-Y", "sign", "-f", text(&file), "-n", MANIFEST, "-O", hash],
            b"message",
        );
        assert_eq!(signature::verify(&armored, MANIFEST, b"message"), Ok(key));
        assert!(signature::verify(&armored, MANIFEST, b"massage").is_err());
        assert!(signature::verify(&armored, PART, b"message").is_err());
    }
}

#[test]
fn the_same_key_signs_the_same_bytes_as_ssh_keygen() {
    let folder = TempDir::new().unwrap();
    let key = SigningKey::generate().unwrap();
    let file = secret_file(&folder, "key", &key.to_openssh_pem("c").unwrap());
    let theirs = ssh_keygen_ok(
        &["-Y", "sign", "-f", text(&file), "-n", MANIFEST],
        b"message",
    );
    assert_eq!(key.sign(MANIFEST, b"message"), theirs);
}

/// The namespaces option has the same effect in both programs.
#[test]
fn allowed_signers_files_mean_the_same_to_both() {
    let folder = TempDir::new().unwrap();
    let key = SigningKey::generate().unwrap();
    let armored = secret_file(&folder, "sig", &key.sign(MANIFEST, b"m"));
    let options = [
        "",
        "namespaces=\"cxvault-*\" ",
        "namespaces=\"git\" ",
        "namespaces=\"cxvault-*,!*-manifest\" ",
    ];
    for (n, options) in options.into_iter().enumerate() {
        let content = format!(
            "# signers\ncxvault {options}{}\n",
            key.public_key().to_openssh_line()
        );
        let file = secret_file(&folder, &format!("allowed{n}"), &content);
        let args = [
            "-Y",
            "verify",
            "-f",
            text(&file),
            "-I",
            "cxvault",
            "-n",
            MANIFEST,
            "-s",
            text(&armored),
        ];
        let theirs = ssh_keygen(&args, b"m").status.success();
        let ours = AllowedSigners::parse(&content)
            .unwrap()
            .contains(&key.public_key(), MANIFEST);
        assert_eq!(ours, theirs, "{content}");
    }
}
