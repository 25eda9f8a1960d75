//! SimulatedTokens: RingCentral's, RingCX's, and the refresh tokens that can be spent once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use crate::simulator::dice::{Dice, hash};
use crate::simulator::options::SimulatorOptions;
use crate::simulator::time::millis;
use crate::simulator::world::SegmentText;

/// Above this many kept tokens the dead ones are forgotten.
const MANY: usize = 10_000;

/// Which of the configured credentials a token stems from.
pub(super) type Login = u64;

/// The login of the token that needs none.
const READY: Login = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Missing,
    Unknown,
    Expired,
}

pub(super) struct SimulatedTokens {
    seed: u64,
    life_ms: i64,
    rc_life_ms: i64,
    early_expiry: f64,
    ready: String,
    state: Mutex<TokenState>,
}

#[derive(Default)]
struct TokenState {
    issued: u64,
    rc: HashMap<String, SimulatedToken>,
    access: HashMap<String, SimulatedToken>,
    refresh: HashMap<String, Login>,
    expired_early: u64,
}

struct SimulatedToken {
    login: Login,
    expires_ms: i64,
    /// Uses that are left until it is refused before its time.
    uses_left: Option<u64>,
}

/// What an exchange or a refresh gives.
pub(super) struct Pair {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl SimulatedTokens {
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

    pub(super) fn issue_rc(&self, login: Login, now_ms: i64) -> String {
        let mut state = self.lock();
        forget_dead(&mut state.rc, now_ms);
        let name = self.name(&mut state, "rc", now_ms);
        state.rc.insert(
            name.clone(),
            SimulatedToken {
                login,
                expires_ms: now_ms + self.rc_life_ms,
                uses_left: None,
            },
        );
        name
    }

    pub(super) fn check_rc(&self, token: Option<&str>, now_ms: i64) -> Result<Login, Refusal> {
        use_one(&mut self.lock().rc, token, now_ms)
    }

    pub(super) fn issue_pair(&self, login: Login, now_ms: i64) -> Pair {
        let mut state = self.lock();
        forget_dead(&mut state.access, now_ms);
        let access = self.name(&mut state, "cx", now_ms);
        let refresh = self.name(&mut state, "refresh", now_ms);
        let mut dice = Dice::new(&[self.seed, SegmentText::Token as u64, state.issued]);
        let uses_left = dice.percent(self.early_expiry).then(|| 1 + dice.below(150));
        state.access.insert(
            access.clone(),
            SimulatedToken {
                login,
                expires_ms: now_ms + self.life_ms,
                uses_left,
            },
        );
        state.refresh.insert(refresh.clone(), login);
        Pair { access, refresh }
    }

    /// A new pair for a refresh token, which is spent by that.
    pub(super) fn rotate(&self, refresh: &str, now_ms: i64) -> Result<Pair, Refusal> {
        let login = self
            .lock()
            .refresh
            .remove(refresh)
            .ok_or(Refusal::Unknown)?;
        Ok(self.issue_pair(login, now_ms))
    }

    pub(super) fn check(&self, token: Option<&str>, now_ms: i64) -> Result<Login, Refusal> {
        if token == Some(self.ready.as_str()) && !self.ready.is_empty() {
            return Ok(READY);
        }
        let mut state = self.lock();
        let early = token
            .and_then(|token| state.access.get_mut(token))
            .is_some_and(|token| {
                let early = token.expires_ms > now_ms && token.uses_left == Some(0);
                if early {
                    token.expires_ms = now_ms;
                }
                early
            });
        state.expired_early += u64::from(early);
        use_one(&mut state.access, token, now_ms)
    }

    /// How many tokens were refused before their time.
    pub(super) fn expired_early(&self) -> u64 {
        self.lock().expired_early
    }

    fn name(&self, state: &mut TokenState, kind: &str, now_ms: i64) -> String {
        state.issued += 1;
        // The time goes in, so that a token of an earlier start is not taken for one of this.
        let check = hash(&[
            self.seed,
            SegmentText::Token as u64,
            state.issued,
            now_ms as u64,
        ]);
        format!("sim-{kind}.{}.{check:016x}", state.issued)
    }

    fn lock(&self) -> MutexGuard<'_, TokenState> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn use_one(
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

fn forget_dead(tokens: &mut HashMap<String, SimulatedToken>, now_ms: i64) {
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
