module rayfort.local/tools/prometheus-charts

go 1.26.0

require github.com/prometheus-community/helm-charts v0.0.0-20260828105119-ed5d7d9b5933 // chart prometheus 29.27.0
