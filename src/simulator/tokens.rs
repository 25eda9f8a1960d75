//! The tokens that the simulator has issued: RingCentral tokens, RingCX tokens, and refresh tokens.
//!
//! As in the real API, a RingCX token lives 5 minutes (by default) and a refresh token can be spent once. Tokens
//! hold no data: they are keys of the tables here, so a restart invalidates all of them.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::simulator::dice::{Dice, hash};
use crate::simulator::locked::locked;
use crate::simulator::options::SimulatorOptions;
use crate::simulator::time::millis;
use crate::simulator::world::Decision;

/// Above this many stored tokens, expired tokens are removed.
const MANY: usize = 10_000;

/// The index of the configured credential that a token was issued for. Quotas are counted for each login.
pub(super) type Login = u64;

/// The login of [`SimulatorOptions::ready_token`], which needs no credential.
const READY: Login = u64::MAX;

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The request carries none.
    Missing,
    /// It was not issued by this simulator, or was removed.
    Unknown,
    /// It is known, and its life is over.
    Expired,
}

/// All tokens of one simulator. Times are UTC milliseconds of simulated time.
pub(super) struct SimulatedTokens {
    seed: u64,
    life_ms: i64,
    rc_life_ms: i64,
    /// Percentage of the RingCX tokens that expire before their time.
    early_expiry: f64,
    ready: String,
    state: Mutex<TokenState>,
}

/// The tables of tokens, by the text of the token.
#[derive(Default)]
struct TokenState {
    /// Number of tokens issued, of all kinds.
    issued: u64,
    /// RingCentral tokens.
    rc: HashMap<String, SimulatedToken>,
    /// RingCX tokens.
    access: HashMap<String, SimulatedToken>,
    /// Refresh tokens that have not been spent; they do not expire.
    refresh: HashMap<String, Login>,
    expired_early: u64,
}

/// A RingCentral or RingCX token.
struct SimulatedToken {
    login: Login,
    /// UTC milliseconds of simulated time.
    expires_ms: i64,
    /// Uses left until it expires before its time; `None` for a token that lives its whole life.
    uses_left: Option<u64>,
}

/// The tokens that an exchange or a refresh returns.
pub(super) struct TokenPair {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl SimulatedTokens {
    /// Creates an empty store; `early_expiry` is a percentage.
    pub(super) fn new(options: &SimulatorOptions, early_expiry: f64) -> Self {
        SimulatedTokens {
            seed: options.seed,
            life_ms: millis(options.token_life),
            rc_life_ms: millis(options.rc_token_life),
            early_expiry,
            ready: options.ready_token.clone(),
            state: Mutex::default(),
        }
    }

    /// Issues a RingCentral token.
    pub(super) fn issue_rc(&self, login: Login, now_ms: i64) -> String {
        let mut state = locked(&self.state);
        remove_expired(&mut state.rc, now_ms);
        let name = self.new_name(&mut state, "rc", now_ms);
        let token = SimulatedToken {
            login,
            expires_ms: now_ms + self.rc_life_ms,
            uses_left: None,
        };
        state.rc.insert(name.clone(), token);
        name
    }

    /// Returns the login of a RingCentral token.
    pub(super) fn check_rc(&self, token: Option<&str>, now_ms: i64) -> Result<Login, Refusal> {
        use_token(&mut locked(&self.state).rc, token, now_ms)
    }

    /// Issues a RingCX token and its refresh token.
    pub(super) fn issue_pair(&self, login: Login, now_ms: i64) -> TokenPair {
        let mut state = locked(&self.state);
        remove_expired(&mut state.access, now_ms);
        let access = self.new_name(&mut state, "cx", now_ms);
        let refresh = self.new_name(&mut state, "refresh", now_ms);
        let mut dice = Dice::new(&[self.seed, Decision::Token as u64, state.issued]);
        let token = SimulatedToken {
            login,
            expires_ms: now_ms + self.life_ms,
            uses_left: dice.percent(self.early_expiry).then(|| 1 + dice.below(150)),
        };
        state.access.insert(access.clone(), token);
        state.refresh.insert(refresh.clone(), login);
        TokenPair { access, refresh }
    }

    /// Spends a refresh token and issues a new pair for it.
    pub(super) fn rotate(&self, refresh: &str, now_ms: i64) -> Result<TokenPair, Refusal> {
        let login = locked(&self.state).refresh.remove(refresh);
        login
            .map(|login| self.issue_pair(login, now_ms))
            .ok_or(Refusal::Unknown)
    }

    /// Returns the login of a RingCX token, and counts the use towards an early expiry.
    pub(super) fn check(&self, token: Option<&str>, now_ms: i64) -> Result<Login, Refusal> {
        if token == Some(self.ready.as_str()) && !self.ready.is_empty() {
            return Ok(READY);
        }
        let mut state = locked(&self.state);
        if let Some(known) = token.and_then(|token| state.access.get_mut(token))
            && known.expires_ms > now_ms
            && known.uses_left == Some(0)
        {
            known.expires_ms = now_ms;
            state.expired_early += 1;
        }
        use_token(&mut state.access, token, now_ms)
    }

    /// Returns how many tokens have expired before their time.
    pub(super) fn expired_early(&self) -> u64 {
        locked(&self.state).expired_early
    }

    fn new_name(&self, state: &mut TokenState, kind: &str, now_ms: i64) -> String {
        state.issued += 1;
        // With the time, so that a token of an earlier start with the same seed is not accepted.
        let check = hash(&[
            self.seed,
            Decision::Token as u64,
            state.issued,
            now_ms as u64,
        ]);
        format!("sim-{kind}.{}.{check:016x}", state.issued)
    }
}

/// Returns the login of a token that has not expired, and takes a use off it.
fn use_token(
    tokens: &mut HashMap<String, SimulatedToken>,
    token: Option<&str>,
    now_ms: i64,
) -> Result<Login, Refusal> {
    let token = tokens
        .get_mut(token.ok_or(Refusal::Missing)?)
        .ok_or(Refusal::Unknown)?;
    if now_ms >= token.expires_ms {
        return Err(Refusal::Expired);
    }
    token.uses_left = token.uses_left.map(|uses| uses.saturating_sub(1));
    Ok(token.login)
}

fn remove_expired(tokens: &mut HashMap<String, SimulatedToken>, now_ms: i64) {
    if tokens.len() > MANY {
        tokens.retain(|_, token| token.expires_ms > now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_lives_its_time_and_a_refresh_token_is_spent_once() {
        let tokens = SimulatedTokens::new(&SimulatorOptions::default(), 0.0);
        let pair = tokens.issue_pair(0, 1_000);
        assert_eq!(tokens.check(Some(&pair.access), 300_999), Ok(0));
        assert_eq!(
            tokens.check(Some(&pair.access), 301_000),
            Err(Refusal::Expired)
        );
        let next = tokens.rotate(&pair.refresh, 301_000).unwrap();
        assert_eq!(tokens.check(Some(&next.access), 301_000), Ok(0));
        assert_eq!(
            tokens.rotate(&pair.refresh, 301_000).err(),
            Some(Refusal::Unknown)
        );
        assert_eq!(tokens.check(Some("nonsense"), 0), Err(Refusal::Unknown));
        assert_eq!(tokens.check(None, 0), Err(Refusal::Missing));
    }

    #[test]
    fn an_early_expiry_comes_after_some_uses_and_stays() {
        let tokens = SimulatedTokens::new(&SimulatorOptions::default(), 100.0);
        let pair = tokens.issue_pair(0, 1_000);
        let uses = (0..1_000)
            .take_while(|_| tokens.check(Some(&pair.access), 2_000).is_ok())
            .count();
        assert!((1..=150).contains(&uses), "{uses}");
        assert_eq!(
            tokens.check(Some(&pair.access), 2_000),
            Err(Refusal::Expired)
        );
        assert_eq!(tokens.expired_early(), 1);
    }
}
