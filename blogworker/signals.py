"""The signals that stop a process of blogworker."""

import signal


def handled_signals() -> tuple[signal.Signals, ...]:
    """Return the signals to handle. SIGHUP would kill the process by default; `nohup` makes it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT) if ignored else (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
