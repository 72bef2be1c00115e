"""A demonstration and measurements. Uses the library as a program would; nothing imports it."""

from gencodec.waiting import wait_briefly

wait_briefly()
