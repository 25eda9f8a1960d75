//! `cxvault simulate`: runs the simulated RingCX as a server of its own.
//!
//! The server invents sub-accounts, segments and summaries from a seed, so that the same options always give the same answers. It
//! enforces rate limits and token lives as RingCX does, and can inject faults. It reads no settings and stores nothing: stopping
//! it leaves nothing behind, and starting it again answers as before.
//!
//! The command prints the environment variables that point `cxvault run` to the server, before it serves the first request.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::cli::setup::SimulateArgs;
use crate::command::Context;
use crate::outcome::{Failure, Result};
use crate::ringcx::limits::Limits;
use crate::simulator;

/// Runs the command: prints the settings for the simulator, then serves until the command is cancelled.
///
/// # Errors
/// `Exit::Usage` if the address cannot be used.
pub(crate) async fn run(args: &SimulateArgs, context: &Context) -> Result<()> {
    let bound = TcpListener::bind(args.listen).await;
    let (listener, address) = bound
        .and_then(|listener| listener.local_addr().map(|address| (listener, address)))
        .map_err(|error| {
            Failure::usage(format!("cannot listen on {}", args.listen))
                .because(error)
                .remedy("Set another address with --listen; port 0 is a free port.")
        })?;
    context
        .output
        .print(invitation(&format!("http://{address}"), &args.options));
    simulator::serve(listener, args.options.clone(), context.cancel.clone())
        .await
        .map_err(|error| Failure::unexpected("the simulator failed").because(error))
}

/// Returns the lines of a shell that point `cxvault run` to the simulator.
///
/// Limits and token lives are printed only where they differ from the defaults of a client, which are those of RingCX.
fn invitation(url: &str, options: &simulator::SimulatorOptions) -> String {
    let mut lines = vec![
        format!(
            "# The RingCX simulator listens on {url}. Set these variables in another shell, then run `cxvault run`:"
        ),
        format!("export CXVAULT_PLATFORM_URL={url}"),
        format!("export CXVAULT_RINGCX_URL={url}"),
        format!("export CXVAULT_SUMMARIES_URL={url}"),
    ];
    // The secrets belong to an invented account, so that they may be shown.
    if let Some(credential) = options.credentials.first() {
        lines.push(format!(
            "export CXVAULT_CLIENT_ID={}",
            quoted(&credential.client_id)
        ));
        lines.push(format!(
            "export CXVAULT_CLIENT_SECRET={}",
            quoted(&credential.client_secret)
        ));
        lines.push(format!("export CXVAULT_JWT={}", quoted(&credential.jwt)));
    }
    let limits = [
        ("CXVAULT_SUMMARY_LIMITS", &options.summary_limits, "120/60s"),
        (
            "CXVAULT_DISCOVERY_LIMITS",
            &options.discovery_limits,
            "3/60s,9/15m",
        ),
        ("CXVAULT_TOKEN_LIMITS", &options.token_limits, "5/60s"),
    ];
    for (name, limits, default) in limits {
        let real = in_real_time(limits, options.time_scale).to_string();
        if real != default {
            lines.push(format!("export {name}={real}"));
        }
    }
    let life_ms = options.token_life.as_secs_f64() * 1_000.0 / options.time_scale;
    if life_ms != 300_000.0 {
        lines.push(format!(
            "export CXVAULT_TOKEN_LIFE={}ms",
            life_ms.max(1.0) as u64
        ));
    }
    lines.join("\n")
}

/// Returns limits of the simulator in the time of a client, whose clock is not scaled. Windows are rounded up to whole
/// milliseconds, so that a client that keeps to the result keeps to the limit.
fn in_real_time(limits: &Limits, scale: f64) -> Limits {
    let mut scaled = limits.clone();
    for limit in &mut scaled.0 {
        let window_ms = limit.window.as_secs_f64() * 1_000.0 / scale;
        limit.window = Duration::from_millis(window_ms.ceil().max(1.0) as u64);
    }
    scaled
}

/// Quotes a text for a POSIX shell.
fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    match !text.is_empty() && characters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_invitation_names_every_host_and_credential() {
        let text = invitation(
            "http://127.0.0.1:8700",
            &simulator::SimulatorOptions::default(),
        );
        for name in ["PLATFORM_URL", "RINGCX_URL", "SUMMARIES_URL"] {
            assert!(
                text.contains(&format!("export CXVAULT_{name}=http://127.0.0.1:8700\n")),
                "{text}"
            );
        }
        assert!(text.contains("export CXVAULT_JWT=demo-jwt"), "{text}");
        assert!(!text.contains("LIMITS"), "{text}");
    }

    #[test]
    fn scaled_time_scales_the_limits_of_the_client() {
        let options = simulator::SimulatorOptions {
            time_scale: 60.0,
            ..simulator::SimulatorOptions::default()
        };
        let text = invitation("http://127.0.0.1:8700", &options);
        assert!(
            text.contains("export CXVAULT_SUMMARY_LIMITS=120/1s\n"),
            "{text}"
        );
        assert!(
            text.contains("export CXVAULT_DISCOVERY_LIMITS=3/1s,9/15s\n"),
            "{text}"
        );
        assert!(text.ends_with("export CXVAULT_TOKEN_LIFE=5000ms"), "{text}");
    }

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        assert_eq!(quoted("demo-jwt"), "demo-jwt");
        assert_eq!(quoted("a'b $c"), r"'a'\''b $c'");
    }
}
