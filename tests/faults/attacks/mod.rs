//! What an attacker with a name can do, and what each command then answers. W can create objects but has no key; P is the
//! storage provider or the owner of the folder; L is another user of the host. `SECURITY.md` lists them.

mod forgery;
mod key_changes;
mod local_user;
mod provider_rewrites;
mod readers;
mod storage_provider;
mod writer_without_key;

use crate::support::vault::{Simulator, Vault, options};
use cxvault::simulator::SimulatorOptions;

/// A small world.
fn simulator() -> Simulator {
    Simulator::start(SimulatorOptions {
        segments_per_day: 12,
        ..options()
    })
}

/// A small world with these sub-accounts.
fn simulator_of(sub_accounts: &[&str]) -> Simulator {
    Simulator::start(SimulatorOptions {
        segments_per_day: 12,
        sub_accounts: sub_accounts.iter().map(|id| (*id).to_owned()).collect(),
        ..options()
    })
}

/// Makes a vault's host sign with a key of its own, and returns the public key.
fn sign(vault: &mut Vault) -> String {
    let (file, public) = new_key(vault, "signing-key");
    vault.set("SIGNING_KEY_FILE", &file);
    public
}

/// Makes a key, and returns the path of its file and the public key.
fn new_key(vault: &Vault, name: &str) -> (String, String) {
    let path = vault.folder.path().join(name);
    let path = path.to_str().unwrap().to_owned();
    let made = vault.run(&["keygen", &path, "--json"]).expect(0);
    let public = made.events()[0]["public_key"].as_str().unwrap().to_owned();
    (path, public)
}

/// Lets a vault's readers believe these keys only.
fn allow(vault: &mut Vault, keys: &[&str]) {
    let path = vault.folder.path().join("allowed_signers");
    let lines: Vec<String> = keys.iter().map(|key| format!("cxvault {key}\n")).collect();
    std::fs::write(&path, lines.concat()).unwrap();
    vault.set("ALLOWED_SIGNERS_FILE", path.to_str().unwrap());
}

/// Loses the state folder: the next run is that of a new host.
fn lose_state(vault: &Vault) {
    std::fs::remove_dir_all(vault.state()).unwrap();
}

/// Returns every object of the archive, with its bytes.
fn contents(vault: &Vault) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let paths = vault.files(&vault.archive());
    paths
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}
