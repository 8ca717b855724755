import sys, tempfile, os, time
from pathlib import Path
from benchmarks.rig import Power
from benchmarks.faults.matrix import FAULTS
from benchmarks.faults.run_ours import OursRun, start

rows = [f for f in FAULTS if not sys.argv[1:] or f.name in sys.argv[1:]]
with (
    tempfile.TemporaryDirectory() as d,
    Power(f"faults{os.getpid()}", goal_period_s=1.0) as power,
    start(power, Path(d)) as control,
):
    run = OursRun(power, control)
    for f in rows:
        t = time.time()
        try:
            r = run.run(f)
            print(
                f"{f.name:18} ok {time.time() - t:.1f}s back {r.recovered_s:.2f} late {r.late_ticks}/{r.ticks} {r.events}",
                flush=True,
            )
        except Exception as e:
            dead=not control.alive
            print(
                f"{f.name:18} FAIL {time.time() - t:.1f} {type(e).__name__} {str(e)[:300]} state {control.status['state']} {control.status['stop_reason']}",
                flush=True,
            )
    print(control.log.read_text()[-1500:] if False else "")
print(len(FAULTS))
