# Each target sets its machine up first (docs/decisions/0006-set-up-of-a-machine.md).

.PHONY: help demo test test-etcd test-majors drivers bench chaos sim fuzz
.SILENT:

help:
	echo 'make demo    run a cluster of three nodes on this machine, in the foreground'
	echo 'make test    everything that must hold: format, lints, rules of the house, all tests'
	echo 'make test-etcd   every story of a cluster once more, with etcd as the store'
	echo 'make test-majors  every story of a cluster on PostgreSQL 16, 17 and 18'
	echo 'make drivers  the drivers of applications, those of Java and Node.js too, against the pooler'
	echo 'make bench   Howdah and its peers, measured in the same run'
	echo 'make sim     the HA core in a simulated cluster, by seeds (SEEDS=100000)'
	echo 'make fuzz    the protocol core against whatever bytes find something (MINUTES=5, a target; TARGETS=pooled)'
	echo 'make chaos   faults on a running cluster, and a judge of what clients were told (MINUTES=10 SEED=1)'

demo:
	scripts/setup.sh demo
	scripts/demo.sh

test:
	scripts/setup.sh test
	scripts/test.sh

test-etcd:
	scripts/setup.sh test
	scripts/test-etcd.sh

test-majors:
	scripts/setup.sh test
	scripts/test-majors.sh

drivers:
	scripts/setup.sh drivers
	scripts/drivers.sh

bench:
	scripts/setup.sh bench
	scripts/bench.sh

chaos:
	scripts/setup.sh chaos
	scripts/chaos.sh

sim:
	scripts/setup.sh demo
	scripts/sim.sh

fuzz:
	scripts/setup.sh fuzz
	scripts/fuzz.sh
