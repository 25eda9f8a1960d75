//! What an attacker with a name can do, and what each command then answers. W can create objects but has no key; P is the
//! storage provider or the owner of the folder; L is another user of the host. `SECURITY.md` lists them.

mod local_user;
mod storage_provider;
