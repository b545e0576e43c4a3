module lido-peer

go 1.19
