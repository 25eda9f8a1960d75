//! Accounts: whose interactions are archived, with which credentials, and in which time zones.
//!
//! Most installations have one account, which needs no table: its settings can be in the environment, or anywhere in the
//! settings file. Several accounts are `[[account]]` tables. Then only the tables can say which account a setting is for,
//! and everything else that names one account is refused instead of guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;

use crate::config::layers::{AccountScope, Layers, Origin};
use crate::config::name::{ChannelClass, Id, SegmentType, Text};
use crate::config::value::{Invalid, List, Parsed, ZoneName, elements, invalid};
use crate::config::{keys, secret};
use crate::outcome::{Failure, Result};

/// One RingCentral account.
#[derive(Debug, Clone)]
pub struct Account {
    /// Name in messages and in the request ledger; unique.
    pub name: String,
    /// `None` if there are none or if they are incomplete; [`Account::credentials`] says what is missing.
    pub credentials: Option<CredentialSettings>,
    /// RingCentral account id; `None` if the API is to be asked for it.
    pub rc_account_id: Option<String>,
    /// Ids of the sub-accounts to archive; empty means all that the API lists.
    pub sub_accounts: Vec<String>,
    /// IANA name of the time zone of sub-accounts without an entry in `time_zones`.
    pub time_zone: String,
    /// IANA names of time zones by sub-account.
    pub time_zones: BTreeMap<String, String>,
    /// Channel classes in upper case; empty means all.
    pub channel_classes: Vec<String>,
    /// Segment types in upper case; empty means all.
    pub segment_types: Vec<String>,
    /// The missing parts of incomplete credentials.
    missing: Vec<&'static str>,
}

/// Credentials for the API. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum CredentialSettings {
    /// JWT grant of a RingCentral app, from which tokens are obtained and renewed.
    Jwt {
        /// Client id of the app.
        client_id: String,
        /// Client secret of the app.
        client_secret: SecretString,
        /// JWT credential of the user.
        jwt: SecretString,
    },
    /// A RingCX access token, which cannot be renewed.
    Token(SecretString),
}

impl CredentialSettings {
    /// Returns the kind of the credentials, for the digest of the settings and for messages. It is no secret.
    pub fn kind(&self) -> &'static str {
        match self {
            CredentialSettings::Jwt { .. } => "jwt",
            CredentialSettings::Token(_) => "token",
        }
    }
}

impl Account {
    /// Returns the IANA name of the time zone whose calendar days of `sub_account` are archived.
    pub fn zone_of(&self, sub_account: &str) -> &str {
        self.time_zones.get(sub_account).unwrap_or(&self.time_zone)
    }

    /// Returns the credentials. Only commands that send requests to RingCX need them.
    ///
    /// # Errors
    /// `Exit::Usage` if there are none, or if parts are missing, with all ways to set them.
    pub fn credentials(&self) -> Result<&CredentialSettings> {
        if let Some(credentials) = &self.credentials {
            return Ok(credentials);
        }
        let message = match self.missing.as_slice() {
            [] => format!("account `{}` has no credentials", self.name),
            parts => format!(
                "the credentials of account `{}` lack {}",
                self.name,
                parts.join(" and ")
            ),
        };
        Err(Failure::usage(message).remedy(
            "Set CXVAULT_CLIENT_ID, CXVAULT_CLIENT_SECRET and CXVAULT_JWT (the secrets also as ..._FILE, or as \
             client_secret_file and jwt_file in the settings file), or CXVAULT_RINGCX_TOKEN for a trial. \
             `cxvault demo` needs no credentials.",
        ))
    }
}

/// Time zones by sub-account: `99999999=America/New_York,...`.
struct ZoneMap(BTreeMap<String, String>);

impl FromStr for ZoneMap {
    type Err = Invalid;

    fn from_str(text: &str) -> Parsed<Self> {
        let mut zones = BTreeMap::new();
        for pair in elements(text) {
            let Some((id, zone)) = pair.split_once('=') else {
                return invalid("it is not a list of SUB_ACCOUNT=ZONE");
            };
            zones.insert(
                id.trim().parse::<Id>()?.0,
                zone.trim().parse::<ZoneName>()?.0,
            );
        }
        Ok(ZoneMap(zones))
    }
}

impl fmt::Display for ZoneMap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (id, zone)) in self.0.iter().enumerate() {
            write!(out, "{}{id}={zone}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Takes all accounts, at least one, reduced to the sub-accounts that flags name.
pub(super) fn take_all(layers: &mut Layers<'_>) -> Result<Vec<Account>> {
    layers.refuse_ambiguous()?;
    let file = layers.file;
    let mut accounts = Vec::new();
    if file.accounts.is_empty() {
        accounts.push(take(layers, AccountScope::Shorthand, "default".into())?);
    }
    let alone = file.accounts.len() == 1;
    for (n, entries) in (1..).zip(&file.accounts) {
        let name = if alone {
            "default".into()
        } else {
            format!("account-{n}")
        };
        accounts.push(take(layers, AccountScope::Table { entries, alone }, name)?);
    }
    refuse_duplicates(&accounts)?;
    if accounts.len() > 1
        && let Some(found) = layers.find(&keys::SUB_ACCOUNTS, AccountScope::Program)
        && matches!(found.origin, Origin::Flag(_))
    {
        let wanted: List<Id> = found.read(&keys::SUB_ACCOUNTS)?;
        accounts = narrow(accounts, &wanted.0)?;
    }
    Ok(accounts)
}

/// Takes one account.
fn take<'a>(
    layers: &mut Layers<'a>,
    place: AccountScope<'a>,
    default_name: String,
) -> Result<Account> {
    let (name, origin) = match layers.find(&keys::NAME, place) {
        Some(found) => (found.read::<Id>(&keys::NAME)?.0, found.origin),
        None => (default_name, Origin::Default),
    };
    layers.account = Some(name.clone());
    layers.note(&keys::NAME, Some(name.clone()), origin);
    let (credentials, missing) = credentials(layers, place, &name)?;
    let rc_account_id = layers.take::<Id>(&keys::RC_ACCOUNT_ID, place)?;
    let sub_accounts = layers
        .take::<List<Id>>(&keys::SUB_ACCOUNTS, place)?
        .unwrap_or_default();
    let time_zone = layers.take::<ZoneName>(&keys::TIME_ZONE, place)?;
    let time_zones = layers.take::<ZoneMap>(&keys::TIME_ZONES, place)?;
    let channel_classes = layers.take::<List<ChannelClass>>(&keys::CHANNEL_CLASSES, place)?;
    let segment_types = layers.take::<List<SegmentType>>(&keys::SEGMENT_TYPES, place)?;
    layers.account = None;
    let account = Account {
        name,
        credentials,
        rc_account_id: rc_account_id.map(|id| id.0),
        sub_accounts: sub_accounts.into_texts(),
        time_zone: time_zone.map_or_else(|| "UTC".into(), |zone| zone.0),
        time_zones: time_zones.map(|map| map.0).unwrap_or_default(),
        channel_classes: channel_classes.unwrap_or_default().into_texts(),
        segment_types: segment_types.unwrap_or_default().into_texts(),
        missing,
    };
    refuse_stray_zones(layers, place, &account)?;
    Ok(account)
}

/// Takes the credentials, or the names of the parts that are missing.
///
/// Where there are both a token and the credentials of an app, those from the environment take precedence over those from the
/// file. Both from one layer are an error.
fn credentials<'a>(
    layers: &mut Layers<'a>,
    place: AccountScope<'a>,
    account: &str,
) -> Result<(Option<CredentialSettings>, Vec<&'static str>)> {
    let client_origin = layers
        .find(&keys::CLIENT_ID, place)
        .map(|found| found.origin);
    let client_id = layers.take::<Text>(&keys::CLIENT_ID, place)?;
    let client_secret = secret::take(layers, &keys::CLIENT_SECRET_FILE, place)?;
    let jwt = secret::take(layers, &keys::JWT_FILE, place)?;
    let token = secret::take(layers, &keys::RINGCX_TOKEN_FILE, place)?;

    let secrets = [&client_secret, &jwt];
    let origins = secrets
        .into_iter()
        .flatten()
        .map(|(_, origin)| origin)
        .chain(&client_origin);
    let origins: Vec<&Origin> = origins.collect();
    if let Some((token, token_origin)) = &token {
        let app_in_env = origins.iter().any(|origin| origin.is_environment());
        if !origins.is_empty() && app_in_env == token_origin.is_environment() {
            let message = format!(
                "account `{account}` has two kinds of credentials: a RingCX token ({token_origin}) and an app's ({})",
                origins[0]
            );
            return Err(Failure::usage(message).remedy("Unset one of them."));
        }
        if !app_in_env {
            return Ok((Some(CredentialSettings::Token(token.clone())), Vec::new()));
        }
    }
    let missing = [
        (client_id.is_none(), "the client id"),
        (client_secret.is_none(), "the client secret"),
        (jwt.is_none(), "the JWT credential"),
    ];
    let missing = missing
        .into_iter()
        .filter_map(|(is_missing, part)| is_missing.then_some(part))
        .collect();
    match (client_id, client_secret, jwt) {
        (Some(client_id), Some((client_secret, _)), Some((jwt, _))) => Ok((
            Some(CredentialSettings::Jwt {
                client_id: client_id.0,
                client_secret,
                jwt,
            }),
            missing,
        )),
        (None, None, None) => Ok((None, Vec::new())),
        _ => Ok((None, missing)),
    }
}

/// Refuses a time zone of a sub-account that is not archived: its id is misspelt, and the sub-account that was meant would
/// get another time zone.
fn refuse_stray_zones<'a>(
    layers: &Layers<'a>,
    place: AccountScope<'a>,
    account: &Account,
) -> Result<()> {
    let Some(found) = layers.find(&keys::TIME_ZONES, place) else {
        return Ok(());
    };
    let by_flag = layers
        .find(&keys::SUB_ACCOUNTS, place)
        .is_some_and(|f| matches!(f.origin, Origin::Flag(_)));
    let mut named = account.time_zones.keys();
    match named.find(|id| !account.sub_accounts.contains(id)) {
        Some(id) if !account.sub_accounts.is_empty() && !by_flag => Err(found.failure(
            &keys::TIME_ZONES,
            &format!("`{id}` is none of the account's sub_accounts"),
        )),
        _ => Ok(()),
    }
}

/// Refuses two accounts of one name, which would share their rate limits, and a sub-account in two accounts, which would be
/// archived twice.
fn refuse_duplicates(accounts: &[Account]) -> Result<()> {
    let mut names = BTreeSet::new();
    if let Some(twice) = accounts.iter().find(|account| !names.insert(&account.name)) {
        let failure = Failure::usage(format!("two accounts are called `{}`", twice.name));
        return Err(failure.remedy("Give each [[account]] a `name` of its own."));
    }
    let mut ids = BTreeSet::new();
    let all = accounts.iter().flat_map(|account| &account.sub_accounts);
    match all.into_iter().find(|id| !ids.insert(*id)) {
        Some(twice) => {
            let failure = Failure::usage(format!("sub-account `{twice}` belongs to two accounts"));
            Err(failure.remedy("Remove it from the sub_accounts of one [[account]]."))
        }
        None => Ok(()),
    }
}

/// Returns the accounts that have one of the wanted sub-accounts, each with only these.
fn narrow(accounts: Vec<Account>, wanted: &[Id]) -> Result<Vec<Account>> {
    let wanted: BTreeSet<&String> = wanted.iter().map(|id| &id.0).collect();
    let listed: BTreeSet<&String> = accounts
        .iter()
        .flat_map(|account| &account.sub_accounts)
        .collect();
    if let Some(stranger) = wanted.difference(&listed).next() {
        let message = format!("--sub-account: no account has `{stranger}` among its sub_accounts");
        return Err(Failure::usage(message)
            .remedy("With several accounts, add it to the sub_accounts of its [[account]]."));
    }
    let mut narrowed = accounts.clone();
    for account in &mut narrowed {
        account.sub_accounts.retain(|id| wanted.contains(id));
    }
    narrowed.retain(|account| !account.sub_accounts.is_empty());
    Ok(narrowed)
}
