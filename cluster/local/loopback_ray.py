"""The command `ray`, whose `start --node-ip-address 127.0.0.1` listens on 127.0.0.1 alone.

On Linux Ray takes 127.0.0.1 for the machine's outer address, and its ports are open to the network.
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 forbids that, but it also forbids all nodes except the head. So
the processes of a node have it in their environment, and here, where they are started, it is undone
and the address left alone.
"""

import sys

from ray.scripts.scripts import main

from rnnray import ray_private

ray_private.keep_given_addresses()

if __name__ == "__main__":
    sys.exit(main())
