"""What holds for every test."""

import signal

# Whoever starts the tests in the background of a script hands them an ignored Ctrl-C, which every process
# that a test starts would inherit: none of them could be interrupted then.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
