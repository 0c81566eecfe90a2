"""The command `ray`, whose `start --node-ip-address 127.0.0.1` listens only on 127.0.0.1.

On Linux Ray replaces 127.0.0.1 by the machine's outer address, and its ports are open to the
network. RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 prevents that, but also prevents all nodes except the
head. So the processes of a node have this variable in their environment. This command, which starts
them, undoes its effect on the other nodes and keeps the address as given.
"""

import sys

from ray.scripts.scripts import main

from rnnray import ray_private

ray_private.keep_given_addresses()

if __name__ == "__main__":
    sys.exit(main())
