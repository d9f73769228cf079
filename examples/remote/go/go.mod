module example.org/orders

go 1.19

require example.org/gaia v0.0.0

replace example.org/gaia => ../../../clients/go
