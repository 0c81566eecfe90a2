"""The command `ray`, whose `start --node-ip-address 127.0.0.1` listens on 127.0.0.1 alone.

On Linux Ray takes 127.0.0.1 for the machine's outer address, and its ports are open to the network.
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 forbids that, but it also forbids all nodes except the head. So
the processes of a node have it in their environment, and here, where they are started, it is undone
and the address left alone.
"""

import sys

from ray._private import ray_constants, services
from ray.scripts.scripts import main

ray_constants.ENABLE_RAY_CLUSTER = True
services.resolve_ip_for_localhost = lambda host: host

if __name__ == "__main__":
    sys.exit(main())
