//! P: the storage provider, or the owner of the folder. P can remove and replace every object, and has no signing key.

use cxvault::format::record::manifest::{Manifest, Record};
use cxvault::format::signature::SigningKey;

use super::{allow, contents, forgery, lose_state, sign, simulator};
use crate::support::vault::{DAY, Vault};

const EVE: &str = "2026-11-19";

/// What P changes beside the signatures: a count, for a summary would need new parts as well.
fn change(record: &mut Manifest) {
    if let Record::Day(day) = &mut record.record {
        day.source_retention_days = Some(1_000);
    }
}

/// Returns the vault of a signed archive of one day, whose own key is allowed.
fn vault(simulator: &crate::support::vault::Simulator) -> Vault {
    let mut vault = Vault::new(simulator);
    let own = sign(&mut vault);
    vault.run_day(EVE, &[]).expect(0);
    allow(&mut vault, &[&own]);
    vault
}

fn own_key(vault: &Vault) -> SigningKey {
    let text = std::fs::read_to_string(vault.folder.path().join("signing-key")).unwrap();
    SigningKey::from_openssh_pem(&text).unwrap()
}

/// Asserts that each command refuses the archive, and that none writes to it.
fn check_refused(vault: &Vault, what: &str, run: i32) {
    let before = contents(vault);
    lose_state(vault);
    let ran = vault.run_day(DAY, &[]);
    assert_eq!(ran.exit(), run, "{what}: {} {}", ran.stdout, ran.stderr);
    let [pack, copy] = ["pack", "a-copy"].map(|name| vault.folder.path().join(name));
    for command in [
        &["verify"][..],
        &["ls"],
        &["status"],
        &["evidence", "--out", pack.to_str().unwrap()],
        &["copy", "--to", copy.to_str().unwrap()],
    ] {
        let ended = vault.run(command);
        assert_eq!(
            ended.exit(),
            4,
            "{what}: {command:?} {} {}",
            ended.stdout,
            ended.stderr
        );
    }
    assert!(before == contents(vault), "{what}: nothing was written");
}

#[test]
fn p_cannot_have_a_stripped_archive_continued_verified_or_copied() {
    let simulator = simulator();
    let vault = vault(&simulator);
    let own = own_key(&vault);
    forgery::rewrite(&vault, &[&own], None, change);
    check_refused(&vault, "the signatures are gone", 4);
}

#[test]
fn p_cannot_exchange_archive_json_as_well() {
    let simulator = simulator();
    // As an archive that was never signed.
    let first = vault(&simulator);
    forgery::rewrite(&first, &[], None, change);
    check_refused(&first, "an unsigned archive", 2);
    // As one that P has signed, with and without the operator's key in the list.
    let own_of = SigningKey::generate().unwrap();
    let second = vault(&simulator);
    forgery::rewrite(&second, &[&own_of], Some(&own_of), change);
    check_refused(&second, "an archive of P's", 2);
    let third = vault(&simulator);
    let own = own_key(&third);
    forgery::rewrite(&third, &[&own, &own_of], Some(&own_of), change);
    check_refused(&third, "an archive with P's key as well", 4);
}

#[test]
fn p_can_strip_an_archive_for_readers_without_allowed_signers_only_by_exchanging_archive_json() {
    let simulator = simulator();
    let mut vault = vault(&simulator);
    vault.unset("ALLOWED_SIGNERS_FILE");
    let own = own_key(&vault);
    forgery::rewrite(&vault, &[&own], None, change);
    assert_eq!(vault.run(&["verify"]).exit(), 4);
    assert_eq!(vault.run(&["ls"]).exit(), 4);
    // From here on the archive is another one, and only what was kept elsewhere shows it: the host's own memory does.
    forgery::rewrite(&vault, &[], None, change);
    assert_eq!(vault.run(&["verify"]).exit(), 0);
    assert_eq!(vault.run_day(DAY, &[]).exit(), 2);
    vault.unset("SIGNING_KEY_FILE");
    assert_eq!(vault.run_day(DAY, &[]).exit(), 4);
}
